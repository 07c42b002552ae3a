"""`python -m service` is `contact-image`."""

from service.cli import main

if __name__ == "__main__":
    main()
