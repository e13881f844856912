"""mitm-ai-proxy: a mitmproxy addon that stands between an application and the AI APIs it calls."""
