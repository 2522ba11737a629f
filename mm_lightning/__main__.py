"""`python -m mm_lightning`."""

from mm_lightning.cli import main

if __name__ == "__main__":
    main()
