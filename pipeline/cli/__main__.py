"""`python -m pipeline.cli`: the rs command where the script is not on the path."""

from pipeline.cli import main

main()
