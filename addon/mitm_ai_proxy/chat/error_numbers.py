"""HTTP statuses by the error numbers of vendors whose errors come without one, beside a success's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MINIMAX: Final[Mapping[int, int]] = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1024: 500,
    1026: 400,
    1027: 400,
    1033: 500,
    1039: 429,
    1041: 429,
    1042: 400,
    1043: 400,
    1044: 400,
    2013: 400,
    2037: 400,
    2039: 400,
    2042: 403,
    2045: 429,
    2048: 400,
    2049: 401,
    2056: 429,
    20132: 400,
}
"""`base_resp.status_code`. Source: MiniMax, API reference, error codes
(platform.minimax.io/docs/api-reference/errorcode.md); 1039 is the limit of tokens a minute, 1041 that of connections,
2045 that of growth, 2056 that of a plan."""

SPARK: Final[Mapping[int, int]] = {
    10003: 400,
    10004: 400,
    10005: 400,
    10006: 429,
    10007: 429,
    10008: 503,
    10009: 502,
    10010: 502,
    10011: 502,
    10012: 500,
    10013: 400,
    10014: 400,
    10015: 403,
    10016: 403,
    10019: 400,
    10021: 400,
    10110: 503,
    10163: 400,
    10222: 502,
    10223: 502,
    10907: 400,
    11200: 403,
    11201: 429,
    11202: 429,
    11203: 429,
}
"""`code`. Sources: iFlytek, Spark's documentation, error codes (www.xfyun.cn/doc/spark, interface), and the same table
in the documentation of its own Java SDK (iFLYTEK-OP, websdk-java, spark). 10006 and 10007: one request at a time;
10013, 10014, 10019, 10021: the contents were refused; 10907: the prompt is too long."""

BAIDU: Final[Mapping[int, int]] = {
    1: 500,
    2: 503,
    3: 404,
    4: 429,
    6: 403,
    13: 401,
    14: 401,
    15: 503,
    17: 429,
    18: 429,
    19: 429,
    100: 401,
    110: 401,
    111: 401,
    336000: 500,
    336001: 400,
    336002: 400,
    336003: 400,
    336004: 403,
    336005: 404,
    336100: 503,
    336104: 400,
    336105: 400,
    336501: 429,
    336502: 429,
    500000: 500,
}
"""`error_code` of the gateway. Sources: Baidu's own SDK (github.com/baidubce/bce-qianfan-sdk, python/qianfan/consts.py,
APIErrorCode), which has all but 14; Baidu AI Cloud, error codes (ai.baidu.com/ai-doc/BML/Hkhzv1j2k), up to 336002,
where 100 is an access token that is no token, 14 a signature that is not accepted. 336501 and 336502 are the limits of
requests and of tokens a minute. The API of version 2 has names instead (see vendor_errors.py)."""

COZE: Final[Mapping[int, int]] = {
    4006: 404,
    4008: 429,
    4009: 429,
    4010: 400,
    4011: 402,
    4012: 404,
    4013: 502,
    4016: 409,
    4019: 402,
    4020: 429,
    4022: 402,
    4100: 401,
    4101: 403,
    4102: 403,
    4200: 404,
    4302: 413,
    5000: 500,
    700012006: 401,
}
"""`code`; others from 4000 on are 400. Source: Coze, API reference, error codes
(www.coze.cn/open/docs/developer_guides/coze_error_codes). 4008 is the day's limit, 4009 that of the service, 4010: the
prompt is too long, 4012: no such model, 4013: the model failed, 4016: a chat is running, 4019 and 4022: no money, 4020:
the limit a minute. 700012006 is that page's own example of a body, "access token invalid", and stands in Coze's own
source as a failed authentication (github.com/coze-dev/coze-studio, backend/types/errno/user.go)."""

SPARK_TOO_LONG: Final = 10907
COZE_TOO_LONG: Final = 4010
TOO_LONG_CODE: Final = "context_length_exceeded"
"""OpenAI's code for a prompt that is too long, and the numbers that mean it."""
