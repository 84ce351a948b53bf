import sys

from dbmazz_loader.app import main

sys.exit(main())
