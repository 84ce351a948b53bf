import sys

from dbmazz_checkpoint.app import main

if __name__ == "__main__":
    sys.exit(main())
