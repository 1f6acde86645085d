"""`python -m polysense`, and `accelerate launch -m polysense`: the command line."""

from polysense.cli import main

main()
