import sys

import dbmazz.sparing  # noqa: F401  before anything else

from dbmazz_reader.app import main

sys.exit(main())
