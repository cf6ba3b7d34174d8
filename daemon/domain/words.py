"""Words that pages and messages both use: what kinds of jobs and their states are called. Pure.

English messages put a state into a sentence ("it was in production"), so they name the states themselves.
"""

from collections.abc import Mapping

from daemon.domain.states import State

ENGLISH_KINDS: Mapping[str, str] = {
    "avatar": "avatar video",
    "photo": "photo video",
    "business_card": "business card",
    "photo_detection": "photo detection",
    "picture_modeling": "picture modelling",
}
# The terms of MetaStudio's own Chinese documents.
CHINESE_KINDS: Mapping[str, str] = {
    "avatar": "分身数字人视频",
    "photo": "照片数字人视频",
    "business_card": "数字人名片",
    "photo_detection": "照片检测",
    "picture_modeling": "照片建模",
}
CHINESE_STATES: Mapping[str, str] = {
    State.WAITING.value: "等待中",
    State.PROCESSING.value: "处理中",
    State.SUCCEED.value: "成功",
    State.PARTIAL_SUCCEED.value: "部分成功",
    State.FAILED.value: "失败",
    State.CANCELED.value: "已取消",
    State.BLOCK.value: "已冻结",
}
