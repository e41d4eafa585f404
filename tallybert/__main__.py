"""`python -m tallybert`: the same as the command `tallybert`.

`python -m` puts the current folder first on the import path, where a user's own model.py would stand in for our package
`model`. It is taken off again before anything of ours is imported, unless it is our own folder.
"""

import sys
from pathlib import Path

OURS = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != OURS:
        del sys.path[0]
    from tallybert.cli import main

    sys.exit(main())
