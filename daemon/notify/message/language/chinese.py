"""Simplified Chinese messages, with the terms of MetaStudio's own Chinese documents; full-width punctuation, a
space next to digits."""

# ruff: noqa: RUF001 - Chinese uses full-width punctuation
from daemon.domain.events import Event
from daemon.domain.reasons import CHINESE_REASONS
from daemon.domain.words import CHINESE_KINDS, CHINESE_STATES
from daemon.notify.message.escape import Units
from daemon.notify.message.language.catalogue import Calendar, Catalogue, OperatorText, Plural


def _counted(text: str) -> Plural:
    """The same text for any number: Chinese has no plural."""
    return Plural(one=text.replace("{n}", "1"), many=text)


CHINESE = Catalogue(
    units=Units(
        day="天", hour="小时", minute="分", minutes="分钟", second="秒", moment="不到 1 秒", ages="10 年以上"
    ),
    calendar=Calendar(
        months=tuple(str(month) for month in range(1, 13)),
        date="{month}月{day}日",
        dated="{year}年{month}月{day}日",
        moment="{date} {time} ({offset})",
        until="{first} 至 {last}",
    ),
    colon="：",
    comma="，",
    listed="、",
    stop="。",
    gap="",
    brackets="（{text}）",
    kinds=CHINESE_KINDS,
    product_video="视频",
    product_card="名片",
    product_result="结果",
    states=CHINESE_STATES,
    state_unknown="未知",
    reasons=CHINESE_REASONS,
    titles={
        Event.SUCCEEDED: "制作完成：{name}",
        Event.FAILED: "制作失败：{name}",
        Event.CANCELED: "已取消：{name}",
        Event.BLOCKED: "已冻结：{name}",
        Event.UNBLOCKED: "已解冻：{name}",
        Event.STARTED: "开始制作：{name}",
        Event.STUCK: "耗时过长：{name}",
        Event.LOST: "未查到任务：{name}",
        Event.EXPIRED: "超时未结束：{name}",
        Event.LINK_EXPIRING: "链接即将失效：{name}",
        Event.BATCH_FINISHED: "批次 {name}：{counts}",
    },
    title_partial="部分成功：{name}",
    title_digest="{counts}",
    verbs={
        Event.SUCCEEDED: "{at} 完成",
        Event.FAILED: "{at} 失败",
        Event.CANCELED: "{at} 取消",
        Event.BLOCKED: "{at} 冻结",
        Event.UNBLOCKED: "{at} 解冻",
        Event.STARTED: "{at} 开始制作",
        Event.STUCK: "{at} 发现耗时过长",
        Event.LOST: "{at} 未查到",
        Event.EXPIRED: "{at} 停止跟踪",
        Event.LINK_EXPIRING: "{at} 到提醒时间",
        Event.BATCH_FINISHED: "{at} 全部结束",
    },
    verb_partial="{at} 部分成功",
    verb_first="最早一条发生于 {at}",
    verb_other="{at} 发生",
    counts={
        "succeeded": _counted("{n} 个完成"),
        "partial": _counted("{n} 个部分成功"),
        "failed": _counted("{n} 个失败"),
        "canceled": _counted("{n} 个取消"),
        "blocked": _counted("{n} 个冻结"),
        "unblocked": _counted("{n} 个解冻"),
        "started": _counted("{n} 个开始制作"),
        "stuck": _counted("{n} 个耗时过长"),
        "lost": _counted("{n} 个未查到"),
        "expired": _counted("{n} 个超时未结束"),
        "stopped": _counted("{n} 个不再跟踪"),
        "link_expiring": _counted("{n} 个链接即将失效"),
        "batch_finished": _counted("{n} 个批次结束"),
    },
    other=_counted("{n} 条其他通知"),
    ways={
        "partial": "部分成功",
        "failed": "失败",
        "canceled": "已取消",
        "lost": "未查到",
        "expired": "超时未结束",
        "stopped": "不再跟踪",
    },
    partly="所提交的内容只完成了一部分。",
    made="时长 {length}，制作用时{took}。",
    made_long="时长 {length}。",
    made_took="制作用时{took}。",
    exactly=" {length}",
    about="约 {length}",
    finished="{product}已制作完成。",
    failed="MetaStudio 返回：{said}",
    failed_unsaid="MetaStudio 没有说明原因。",
    canceled="任务已被取消，不会产出{product}。",
    canceled_made="任务已被取消，但 MetaStudio 仍提供了{product}链接。",
    blocked="MetaStudio 已冻结该任务，恢复后会再通知。",
    unblocked="任务已解冻，当前状态：{state}。",
    started="MetaStudio 已开始制作。",
    started_eta="预计还需约 {median}，八成情况下为 {low}至 {high}。",
    stuck="制作时间已远超同类任务，结束后会再通知。",
    stuck_normal="已制作 {elapsed}。同类任务一般需要 {median}，99% 不超过 {high}。结束后会再通知。",
    lost="MetaStudio 已查不到该任务，wrapd 不再查询。如果任务 ID 无误，请重新跟踪。",
    lost_never=(
        "MetaStudio 中没有此 ID 的{kind}任务，wrapd 不再查询。"
        "请核对任务 ID；如果是其他类型的任务，请用 `--kind` 重新跟踪。"
    ),
    expired="从 {since} 起一直没有结束，wrapd 已停止查询。如需继续，请重新跟踪。",
    link_expiring="{product}链接 {until} 失效，还剩 {left}，请在此之前保存。",
    link_unseen="这个{product}还没有人打开过。MetaStudio 的原链接 {until} 失效，还剩 {left}。",
    link_expired="MetaStudio 的原链接已于 {until} 失效。",
    link_soon="链接即将失效，请尽快保存。",
    batch_all="{n} 个任务全部完成。",
    batch_names="{counts}：{names}。",
    batch_done="{n} 个任务完成 {done} 个",
    batch_more="以及另外 {n} 个",
    digest="{span} 共 {n} 条通知，合并发送。",
    digest_quiet="{span} 共 {n} 条通知，免打扰时段结束后合并发送。",
    digest_muted="{span} 共 {n} 条通知，静音结束后合并发送。",
    row_length="时长 {length}",
    operators={
        Event.PROJECT_DOWN: OperatorText(
            title="项目 {project}：未能从 MetaStudio 获得有效响应",
            headline=(
                "恢复后会立即继续查询，不会遗漏任何任务。请检查网络和该项目的终端节点，可用 `wrapd doctor` 诊断。"
            ),
        ),
        Event.PROJECT_RECOVERED: OperatorText(
            title="项目 {project} 已恢复",
            headline="期间结束的任务会马上补发通知，无需处理。",
        ),
        Event.AUTH_FAILED: OperatorText(
            title="项目 {project}：MetaStudio 鉴权失败",
            headline=(
                "修复之前不再查询该项目的任务。请检查配置中的密钥（AK/SK）或 Token，然后运行 `wrapd reload`；"
                "可用 `wrapd doctor` 验证。"
            ),
        ),
        Event.CHANNEL_HELD: OperatorText(
            title="渠道 {channel} 无法接收消息",
            headline=(
                "消息已保留，不会丢失。修复后请运行 `wrapd channels test {channel}`，测试送达后会补发其余消息。"
            ),
        ),
        Event.UNKNOWN_STATE: OperatorText(
            title="项目 {project}：出现未知的任务状态",
            headline=(
                "MetaStudio 返回的任务状态是 {state}。wrapd 会继续查询直到任务结束；如果反复出现，请升级 wrapd。"
            ),
        ),
        Event.OVERLOADED: OperatorText(
            title="项目 {project}：查询不及时",
            headline=(
                "任务数量超出了请求额度。请调高该项目的 `requests_per_second`（不超过所在区域的上限）"
                "或 `max_interval`。"
            ),
        ),
        Event.DELIVERY_DEAD: OperatorText(
            title="渠道 {channel}：通知无法送达",
            headline=(
                "聊天服务拒绝接收，wrapd 已放弃发送。可用 `wrapd deliveries --status dead` 查看，"
                "用 `wrapd deliveries retry` 重新发送。"
            ),
        ),
        Event.UNCONFIRMED: OperatorText(
            title="项目 {project}：回调中的任务不存在",
            headline=(
                "wrapd 已按所有任务类型查询，MetaStudio 中均无这些任务，现已停止查询，未通知其他渠道。"
                "请确认它们属于该项目；"
                "如果并非你们创建，说明回调地址可能已泄露，请更换该项目的回调密钥。"
            ),
        ),
        Event.CONFIG_REFUSED: OperatorText(
            title="修改后的配置有误，未生效",
            headline=(
                "wrapd 继续使用上一份有效配置，本次修改均未生效。"
                "请修正后运行 `wrapd reload`；可用 `wrapd config check` 查看全部错误。"
            ),
        ),
        Event.ORPHANED: OperatorText(
            title="项目 {project} 已不在配置中，但仍有任务",
            headline=(
                "这些任务不再查询，结束时也不会通知。"
                "请将该项目加回配置并运行 `wrapd reload`，或将任务移到其他项目：`{command}`。"
            ),
        ),
        Event.DEFECT: OperatorText(
            title="wrapd 内部出错",
            headline="其余功能照常运行，出错的部分会降低重试频率。请附上日志中的错误堆栈反馈给我们。",
        ),
    },
    held_partly=OperatorText(
        title="渠道 {channel} 未送达部分收件人",
        headline=(
            "其余收件人照常收到消息，不会重复发送。请更正被拒收的收件人，再运行 `wrapd channels test {channel}`。"
        ),
    ),
    orphaned_channel=OperatorText(
        title="渠道 {channel} 已不在配置中，但仍有待发通知",
        headline=(
            "这些通知不会发出。请将该渠道加回配置并运行 `wrapd reload`，或将通知移到其他渠道：`{command}`。"
        ),
    ),
    operator_other=OperatorText(title="{event}", headline="wrapd 通知：{event}。"),
    repeat="这条消息可能重复：无法确认上一次是否送达。",
    repeat_some="其中可能有重复的通知：无法确认上一次是否送达。",
    resent="应要求重新发送：首次发送于{first}。",
    resent_some="其中部分通知之前已发送过，现应要求重新发送。",
    damped="反复变化：自{since}以来共 {n} 次，这是最近一次。",
    diverted="渠道 {channel} 无法接收消息，改发到这里。",
    late="通知延迟：{happened}，{told} 送达。",
    late_why="通知延迟：{happened}，{told} 送达，原因：{why}。",
    why_unreachable="聊天服务此前无法连接",
    why_quiet="免打扰时段内暂不发送",
    why_muted="静音期间暂不发送",
    why_tracked="{at} 才开始跟踪该任务",
    why_service="MetaStudio {at} 才更新状态",
    why_seen="wrapd {at} 才查到结果",
    field_names={
        "error": "错误码",
        "reason": "原因",
        "state": "状态",
        "ended": "完成时间",
        "failed": "失败时间",
        "canceled": "取消时间",
        "started": "开始时间",
        "seen": "发现时间",
        "expected": "预计完成",
        "valid": "链接有效期至",
        "note": "留言",
        "label": "备注",
        "batch": "批次",
        "tags": "标签",
        "project": "项目",
        "job": "任务 ID",
        "asset": "资产 ID",
        "late": "已延迟",
        "jobs": "任务数",
        "deliveries": "通知数",
        "part": "模块",
        "since": "开始于",
        "began": "开始时间",
        "batch_ended": "结束时间",
        "took": "总用时",
    },
    link_names={
        "watch": "观看",
        "open": "打开",
        "preview": "预览",
        "download": "下载",
        "cover": "封面",
    },
    link_until="{until} 前有效",
    link_gone="已于 {until} 失效",
    link_later="下载链接尚未获取，稍后可用 `wrapd show` 查看。",
    links_left_out=_counted("有 {n} 个链接过长，无法在此显示，可用 `wrapd show` 查看"),
    rows_left_out=_counted("另有 {n} 条"),
    test_title="wrapd 已连通此渠道",
    test_headline="这是渠道 {channel} 的测试消息，正式通知会像这样送达。",
)
