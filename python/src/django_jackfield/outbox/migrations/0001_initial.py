"""The tables of the outbox."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations = [
        migrations.CreateModel(
            name="Leader",
            fields=[
                ("via", models.CharField(max_length=100, primary_key=True, serialize=False)),
            ],
            options={
                "verbose_name": "leader",
                "db_table": "jackfield_outbox_leader",
            },
        ),
        migrations.CreateModel(
            name="WaitingCommand",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("via", models.CharField(max_length=100)),
                ("command_id", models.CharField(max_length=255)),
                ("method", models.CharField(max_length=64)),
                ("key", models.TextField(blank=True)),
                ("payload", models.BinaryField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "waiting command",
                "db_table": "jackfield_outbox",
            },
        ),
    ]
