import sys

import dbmazz.sparing  # noqa: F401  before anything else

from dbmazz_loader.app import main

sys.exit(main())
