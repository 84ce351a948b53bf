"""`python -m dbmazz_transformer`."""

import sys

import dbmazz.sparing  # noqa: F401  before anything else

from dbmazz_transformer.app import main

sys.exit(main())
