"""`python -m dbmazz_transformer`."""

import sys

from dbmazz_transformer.app import main

sys.exit(main())
