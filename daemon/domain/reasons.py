"""The reasons that wrapd gives for failures, in the reader's language. Pure.

Reasons are written and stored in English. Pages and messages tell them in Chinese phrase by phrase, so that what
another party said within a reason stays as it is.
"""

# ruff: noqa: RUF001 - Chinese uses full-width punctuation
from collections.abc import Mapping


def reworded(reason: str, phrases: Mapping[str, str]) -> str:
    """The reason with each of the phrases in it replaced, the longest first.

    >>> reworded("HTTP 404: the service does not know this address (gone)", CHINESE_REASONS)
    'HTTP 404: 聊天服务没有这个地址 (gone)'
    """
    for phrase in sorted((phrase for phrase in phrases if phrase in reason), key=len, reverse=True):
        reason = reason.replace(phrase, phrases[phrase])
    return reason


CHINESE_REASONS: Mapping[str, str] = {
    # tracking
    "it did not end in time": "未在规定时间内结束",
    # the API (daemon/metastudio/errors.py, client.py, gate.py)
    "the service does not know the job": "服务端没有该任务",
    "the service refuses the credentials": "鉴权失败",
    "too many requests": "请求过于频繁",
    "the service has an internal error": "服务端内部错误",
    "the endpoint does not offer this API; check `region` or `endpoint`": (
        "该终端节点不提供此接口，请检查 `region` 或 `endpoint`"
    ),
    "the service behind the gateway does not answer": "网关后的服务没有响应",
    "the token must be renewed, or belongs to another region": "Token 需要更新，或属于其他区域",
    "the endpoint redirects, which the API never does; check `endpoint` and `proxy`": (
        "终端节点发生了重定向，请检查 `endpoint` 和 `proxy`"
    ),
    "the service refuses the request": "服务端拒绝了请求",
    "the service, or a proxy in front of it, has an internal error": "服务端或其代理内部错误",
    "access denied; check the permissions, the project id and the region": (
        "没有访问权限，请检查权限、项目 ID 和区域"
    ),
    "the proxy requires a user and a password; check `proxy` of the project": (
        "代理需要用户名和密码，请检查项目的 `proxy`"
    ),
    "the service did not get the request in time": "服务端未及时收到请求",
    "the service is not ready": "服务尚未就绪",
    "a 404 that is not from the API; check `region`, `endpoint` and `proxy` of the project": (
        "返回的 404 并非来自该接口，请检查项目的 `region`、`endpoint` 和 `proxy`"
    ),
    "a web page instead of an answer (a proxy or portal?); check `endpoint` and `proxy`": (
        "返回的是网页而不是接口数据（可能是代理或认证门户），请检查 `endpoint` 和 `proxy`"
    ),
    "an error with a success status": "状态码为成功，内容却是错误",
    "the answer is empty": "返回内容为空",
    "the answer is not usable": "返回内容无法使用",
    "the credentials were refused recently": "不久前鉴权失败",
    "the credentials have not been verified yet": "尚未通过鉴权",
    # the connection to the API (daemon/transport.py)
    "no whole answer within": "未收到完整响应，时限",
    "no trusted TLS connection": "TLS 连接不受信任",
    "the proxy refuses": "代理拒绝连接",
    "the proxy cannot be reached": "无法连接代理",
    "the host name cannot be resolved": "域名无法解析",
    "no connection in time": "连接超时",
    "no connection": "无法连接",
    "the URL or its surroundings cannot be used": "地址或环境设置无法使用",
    "the URL cannot be used": "地址无法使用",
    "the server went silent": "服务器中途没有响应",
    "not an HTTP answer": "返回的不是 HTTP 响应",
    "the connection broke": "连接中断",
    "the answer has the content coding": "响应使用了未请求的编码",
    "which was not asked for": "未请求",
    "the compressed answer is damaged": "压缩的响应已损坏",
    "the compressed answer is cut short": "压缩的响应不完整",
    # chat services (daemon/notify/transport/verdicts.py)
    "the service does not understand the message": "聊天服务无法识别该消息",
    "the service refuses the channel's token or key": "聊天服务拒绝了渠道的令牌或密钥",
    "the service forbids it": "聊天服务禁止此操作",
    "the service does not know this address": "聊天服务没有这个地址",
    "the address does not accept messages": "该地址不接收消息",
    "a SOCKS proxy needs the Python package `PySocks`, which is not installed": (
        "代理为 `SOCKS` 代理，但未安装 `PySocks` 软件包"
    ),
    "the proxy variable does not hold an address": "代理环境变量不是有效地址",
    "the certificate file does not exist": "证书文件不存在",
    "the proxy requires a login, or refuses the one given": "代理要求登录，或拒绝了所给的登录信息",
    "the service waited too long for the request": "聊天服务等待请求超时",
    "the address is gone": "该地址已停用",
    "the message is too long": "消息过长",
    "the service has a fault": "聊天服务出错",
    "the service cannot be reached behind its gateway": "网关无法连接聊天服务",
    "the service is overloaded or down": "聊天服务过载或停机",
    "the service did not answer its gateway": "聊天服务未响应其网关",
    "the service refuses it": "聊天服务拒绝了消息",
    "a redirect, which is not followed; the channel's URL needs the final address": (
        "地址发生重定向（不会跟随），渠道的 URL 需要填写最终地址"
    ),
    "the answer was cut off": "响应不完整",
    "this does not look like the service's answer": "响应不是该服务应有的内容",
    "not the answer that this service gives": "响应不是该服务应有的内容",
    "the service's plugin reported a failure without a reason": "发送失败，没有说明原因",
    # the connection to chat services
    "the certificate is not trusted": "证书不受信任",
    "no answer within": "没有响应，时限",
    "the connection ended before the answer": "收到响应之前连接已断开",
    "the host's name cannot be resolved": "域名无法解析",
    "the connection was refused": "连接被拒绝",
    "the TLS handshake failed": "未能建立 TLS 连接",
    "the request could not be made": "无法发出请求",
    "the other side ended it": "对方断开了连接",
    "the recipient is refused": "收件人被拒绝",
    "the server offers no login that wrapd knows": "服务器没有可用的登录方式",
    "the server offers no TLS": "服务器不支持 TLS",
    "the server offers no login": "服务器不支持登录",
    "the server does not take such addresses": "服务器不接受这样的地址",
    "the mail server's answer cannot be understood": "无法理解邮件服务器的应答",
    "the mail server": "邮件服务器",
    "did not answer in time": "没有及时响应",
    "ended the connection": "断开了连接",
    ", before the message": "（邮件尚未发出）",
    "the server refuses the greeting": "服务器拒绝了问候",
    "the server refuses TLS": "服务器拒绝了 TLS",
    "of the recipients did not get it, the others have": "位收件人没有收到，其余已收到",
    "the login is refused": "登录被拒绝",
    "the sender is refused": "发件人被拒绝",
    "the message is refused": "邮件被拒绝",
    "the server accepts no mail from this machine": "服务器不接收来自这里的邮件",
    "no time was left for this request": "发送时限已用完",
}
"""Chinese for each English phrase that reasons are made of."""
