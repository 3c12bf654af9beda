"""The benchmarks are scripts beside their tests; here they are modules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
