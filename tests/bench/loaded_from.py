"""A script for mitmdump, after the addon's: prints the file of each of the addon's modules, and ends mitmdump."""

import os
import sys

for _name, _module in sorted(sys.modules.items()):
    if _name.partition(".")[0] == "mitm_ai_proxy":
        print(_module.__file__)
sys.stdout.flush()
os._exit(0)
