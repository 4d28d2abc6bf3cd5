"""The tables of the inbox."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations = [
        migrations.CreateModel(
            name="HandledEvent",
            fields=[
                ("event_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("reply", models.TextField(default="null")),
                ("handled_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "handled event",
                "db_table": "jackfield_inbox",
            },
        ),
    ]
