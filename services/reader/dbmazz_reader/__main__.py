import sys

from dbmazz_reader.app import main

sys.exit(main())
