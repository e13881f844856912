"""The script for mitmproxy: `mitmdump -s addon/ai_proxy.py`. It finds the package beside it and hands over."""

import sys

# A reload runs this file again; without this, it would bring back the modules that are loaded already.
for _name in [name for name in sys.modules if name.partition(".")[0] == "mitm_ai_proxy"]:
    del sys.modules[_name]

from mitm_ai_proxy.edges import memory
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.commands import Commands
from mitm_ai_proxy.gateway.conversations import Conversations
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated

# Not in the package: a proxy that is embedded shares its process with others.
memory.keep()
_conversations = Conversations()
_gateway = Gateway([Recorded(), Simulated()])
addons = [_gateway.intercepting.before, _conversations.before, _gateway, _conversations.after, Commands(_gateway)]
