"""Write the centre's OpenAPI document, from which the console's types are made: `make console-types`.

python console/openapi.py FILE
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from nats.aio.client import Client

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.web.app import create_app
from thap.web.deps import Centre


def document() -> str:
    """The document as JSON, keys in order, so that it changes only where the API does."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(Path(folder))
        app = create_app(Centre(settings, Records.open(settings), Bus(Client())))
        found = app.openapi()
    found["info"]["version"] = "0"
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(document(), encoding="utf-8")
