"""Reports of runs: one run as a page, and several compared."""
