import sys

import dbmazz.sparing  # noqa: F401  before anything else

from dbmazz_checkpoint.app import main

if __name__ == "__main__":
    sys.exit(main())
