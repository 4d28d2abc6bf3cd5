"""The app config."""

from pathlib import Path
from typing import Any

from django.apps import AppConfig

SEED = Path(__file__).parent / "seed"
"""What stands in the first documents, made by vendor/welcome.mjs."""
TITLES = {"welcome": "Welcome", "minutes": "Minutes of the studio"}


class EditorConfig(AppConfig):
    """Documents that several people edit at once."""

    name = "editor"

    def seed(self, users: list[Any]) -> None:
        """Documents of the first user; the second may write in them, the third may read."""
        from editor.models import Document, Share

        if Document.objects.exists():
            return
        owner, writer, *readers = users
        for name, title in TITLES.items():
            document = Document.objects.create(title=title, owner=owner)
            document.save_update((SEED / f"{name}.yjs").read_bytes(), None)
            Share.objects.create(document=document, user=writer, right=Share.Right.WRITE)
            for user in readers:
                Share.objects.create(document=document, user=user, right=Share.Right.READ)
