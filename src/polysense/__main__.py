"""`python -m polysense` is the command `polysense`; accelerate launch needs it in this form."""

from polysense.cli.main import main

if __name__ == "__main__":
    main()
