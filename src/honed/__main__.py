"""``python -m honed``: the same as the command."""

from honed.cli.main import main

main()
