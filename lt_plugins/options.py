"""Names of command line options that messages mention."""

ALLOW_PICKLE_OPTION = "--allow-pickle"
OVERWRITE_OPTION = "--overwrite"
RESUME_OPTION = "--resume"
