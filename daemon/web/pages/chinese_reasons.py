"""Why something is as it is, or was refused, in Chinese: what English has from where it is said."""

# ruff: noqa: RUF001 - Chinese uses full-width punctuation
from collections.abc import Mapping

ERRORS: Mapping[str, str] = {
    "scope": "您的令牌没有执行此操作的权限。",
    "old_form": "未作任何更改：此表单属于另一个会话，请重新打开页面。",
    "foreign_form": "未作任何更改：此表单不是本服务器的页面发出的。",
    "unsafe": "此地址使用不加密的 http，令牌等内容可能在传输途中被读取，因此不能在此登录。请改用 https"
    "（通过代理，并设置 web.public_url），或在本机打开，例如通过 `ssh -L 8787:127.0.0.1:8787`。",
    "busy": "数据库暂时不可用，未作任何更改，请重试。",
    "no_page": "没有这个页面。",
    "no_job": "没有这个任务，或尚未跟踪。",
    "no_alert": "未作任何更改：此任务没有这条通知。",
    "no_batch": "没有这个批次。",
    "no_share": "未作任何更改：此批次没有这个有效的分享。",
    "no_channel": "未作任何更改：配置中没有这个渠道。",
    "no_token": "未作任何更改：您不是用 `wrapd tokens create` 的令牌登录的。",
    "token_over": "未作任何更改：此令牌已失效。",
    "language": "没有这种语言。",
    "not_sent": "没有发送：尚未发送过关于此任务的消息。",
    "unsent": "未作任何更改：这条通知尚未发送，不能重新发送。",
    "too_many": "未作任何更改：符合条件的太多，请缩小筛选范围。",
    "bulk": "未作任何更改：请选择要做什么。",
    "share": "没有分享：请选择时长。",
    "shares": "没有分享：此批次的有效分享已达上限，请先撤销一个。",
    "mute_why": "没有静音：请写明原因。",
    "mute_long": "没有静音：原因最多 500 个字符。",
    "no_session": "未作任何更改：您没有这个会话。",
    "no_project": "配置中没有这个项目。",
    "note": "未作任何更改：留言最多 500 个字符。",
    "mute": "没有静音：请选择时长。",
    "wrong_cursor": "翻页地址已失效，请从第一页重新开始。",
    "wrong_days": "请选择 7、30 或 90 天。",
    "wrong_since": "时间无法识别，请写成 2026-01-05 这样的日期。",
    "wrong_status": "没有这种发送状态。",
    "wrong_sort": "没有这种排序。",
    "wrong_expect": "未作任何更改：请先在上一页确认数量。",
    "wrong_q": "搜索的结果不能一起发送，请使用其他筛选条件。",
    "wrong_comment": "未作任何更改：原因最多 500 个字符。",
    "400": "请求无法读取。",
    "403": "不允许此操作。",
    "404": "没有找到。",
    "405": "此地址不支持这种请求。",
    "408": "内容未及时送达。",
    "413": "内容过大。",
    "415": "内容类型不符。",
    "409": "数量已变化，未作任何更改。",
    "414": "地址过长。",
    "422": "请求的内容有误，未作任何更改。",
    "500": "wrapd 内部出错，详情见其日志。",
    "503": "暂时不可用，请稍后重试。",
}
"""By the key or status of an error."""

NO_ETAS: Mapping[str, str] = {
    "unknown_start": "开始处理的时间未知",
    "too_few": "同类任务中成功的不足 {least} 个",
    "older": "处理时间已超过所有已知的同类任务",
    "not_answered": "服务端尚未应答",
    "waiting": "尚未开始处理",
    "frozen": "已冻结",
    "unknown_state": "状态未知",
}
"""Why a job has no estimate."""

NO_ENDS: Mapping[str, str] = {
    "not_begun": "尚有 {n} 个任务未开始处理",
    "unknown": "{n} 个任务尚无预计",
    "too_many": "未结束的任务过多（{n} 个），此处不作预计；可使用 `wrapd batches`",
}
"""Why a batch has no expected end."""

WHYS: Mapping[str, str] = {
    "sending": "正在发送",
    "stopped": "发送时 wrapd 停止了运行",
    "no_channel": "配置中没有这个渠道",
    "newer": "由更新版本的 wrapd 写入，此版本不认识该事件",
    "muted": "已静音至 {until}（{who}，#{id}）",
    "muted_for": "已静音至 {until}（{who}，#{id}）：{comment}",
    "refused": "渠道被拒绝：{reason}（自 {since}）",
    "refused_until": "渠道被拒绝：{reason}（自 {since}，下次尝试 {time}）",
    "unexplained": "聊天服务拒绝了此渠道",
    "quiet": "免打扰时段，保留至 {time}",
    "failed": "{reason}；下次尝试 {time}",
    "after_of_job": "在 #{id} 之后发送，那是同一任务较早的通知",
    "after_of_project": "在 #{id} 之后发送，那是同一项目较早的通知",
    "changing": "变化频繁，将在 {time} 发送最新的一条",
    "batch": "将在 {time} 发送，除非批次中又加入任务",
    "due": "将在 {time} 发送",
    "no_daemon": "没有守护进程在运行",
    "next": "下一条就是它",
    "after_one": "待发送，其渠道上还有 1 条：依次发送，或合并为一条消息",
    "in_turn": "待发送，其渠道上还有 {n} 条：依次发送，或合并为一条消息",
    "among_many": "待发送，其渠道上还有 {n} 条以上：依次发送，或合并为一条消息",
}
"""Why an alert is not sent."""

RECORDED: Mapping[str, str] = {
    "a later alert takes its place": "已被更新的通知取代",
    "muted": "已静音",
    "wrapd stopped while it was being sent": "发送时 wrapd 停止了运行",
    "an error of wrapd's own left it while it was being sent": "发送时 wrapd 内部出错",
}
"""By the reason that wrapd records for what it did to an alert itself."""

NEEDS: Mapping[str, str] = {
    "no_daemon": "没有守护进程使用此数据库，任务不会被查询，通知不会发送",
    "auth_failed": "服务端拒绝了项目的凭证，其任务未被查询",
    "project_down": "服务端没有应答，项目的任务未被查询",
    "channel_refused": "聊天服务拒绝了此渠道",
    "dead_alerts": "有通知多次发送失败，已放弃",
    "failed": "任务失败，请重做，或写一条留言",
    "frozen": "服务端已冻结此任务，请在 MetaStudio 中解冻后重新查询",
    "lost": "服务端没有此任务，请重做，或写一条留言",
    "expired": "未在规定时间内结束，已不再查询",
    "overdue": "处理时间远超同类任务，请在 MetaStudio 中查看",
    "link_dying": "视频尚未有人观看，最后的链接即将失效",
    "paused": "项目已被暂停，其任务不会被查询",
}
"""What needs a person, by kind."""

REASONS: Mapping[str, str] = {
    "first": "尚未查询过",
    "price": "预期的未察觉延迟已值得一次请求",
    "shortest": "两次查询之间的最短间隔",
    "longest": "两次查询之间的最长间隔",
    "stuck": "届时若仍在处理，将报告为过久",
    "fixed": "固定策略",
    "blocked": "已冻结，查询较慢",
    "retry": "上次查询失败",
    "detail": "补充详情",
    "missing": "列表中没有它",
    "net": "兜底查询",
    "last": "期限前的最后一次查询",
    "hint": "有人或回调要求查询",
    "unknown": "状态未知",
}
"""Why a job is asked about at that time."""
