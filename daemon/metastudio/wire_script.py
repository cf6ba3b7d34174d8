"""A task's script: tables 12 to 25 of the API document as typed structs.

Owns the types of scripts, backgrounds and layers. Polling does not need them: `wire_task.read_details` decodes
them on demand, turning values of a wrong type into None. Fields have their names on the wire. Integers are
`Number`, because the service sends values like 607.5 where the document says Integer.
"""

import msgspec

Number = int | float | None
"""A number from the wire, unchanged; None if it is absent or unusable."""


class HumanPosition2D(msgspec.Struct, kw_only=True):
    """Table 17: where the avatar stands on the background. Discarded by the service in favour of layers.

    - position: LEFT, MIDDLE (default) or RIGHT; without effect where x and y are given.
    - position_x: pixels, -1920 to 3840: horizontal place of the bottom centre of the avatar.
    - position_y: pixels, -1920 to 3840: vertical place of the same point.
    """

    position: str | None = None
    position_x: Number = None
    position_y: Number = None


class HumanSize2D(msgspec.Struct, kw_only=True):
    """Table 18: how large the avatar is on the background. Discarded by the service in favour of layers.

    - width: pixels, 1 to 7680.
    - height: pixels, 1 to 7680.
    """

    width: Number = None
    height: Number = None


class BackgroundConfigInfo(msgspec.Struct, kw_only=True):
    """Table 16: the background of a scene.

    - background_type: IMAGE or COLOR.
    - background_title: a title; without effect for avatar videos.
    - human_position_2d, human_size_2d: tables 17 and 18, discarded.
    - background_cover_url: thumbnail of a background that is a video; without effect for avatar videos.
    - background_config: URL of the image, 1 to 2048 characters (IMAGE).
    - background_color_config: RGB such as #FFFFFF (default), 0 to 16 characters (COLOR).
    - background_asset_id: the image's asset id, 0 to 64 characters.
    """

    background_type: str | None = None
    background_title: str | None = None
    human_position_2d: HumanPosition2D | None = None
    human_size_2d: HumanSize2D | None = None
    background_cover_url: str | None = None
    background_config: str | None = None
    background_color_config: str | None = None
    background_asset_id: str | None = None


class TextConfig(msgspec.Struct, kw_only=True):
    """Table 13: what is spoken.

    - text: plain or with SSML tags; at most 10,000 characters without tags, 131,072 with them.
    """

    text: str | None = None


class AudioDriveActionConfig(msgspec.Struct, kw_only=True):
    """Table 14: an action of an avatar that is driven by audio.

    - action_tag: the action's tag.
    - action_name: the action's name.
    - action_start_time: seconds from the start, 0 to 2592000.
    """

    action_tag: str | None = None
    action_name: str | None = None
    action_start_time: Number = None


class AnimationConfig(msgspec.Struct, kw_only=True):
    """Table 15: an action played in a loop. Without effect for avatar videos.

    - animation: asset id of the action.
    """

    animation: str | None = None


class EmotionConfig(msgspec.Struct, kw_only=True):
    """Table 19: a mood. Without effect for avatar videos; to be discarded.

    - emotion: HAPPY (default), SAD, CALM or ANGER.
    """

    emotion: str | None = None


class LayerPositionConfig(msgspec.Struct, kw_only=True):
    """Table 21: where a layer lies, on a layout of 1920 x 1080 pixels (16:9) or 1080 x 1920 (9:16).

    - dx: pixels of its left edge, -1920 to 3840, 0 by default.
    - dy: pixels of its upper edge, -1920 to 3840, 0 by default.
    - layer_index: order of the layers, 1 to 100, 100 by default.
    """

    dx: Number = None
    dy: Number = None
    layer_index: Number = None


class LayerSizeConfig(msgspec.Struct, kw_only=True):
    """Table 22: how large a layer is, on the same layout as its position.

    - width: pixels, 1 to 7680.
    - height: pixels, 1 to 7680.
    """

    width: Number = None
    height: Number = None


class ImageLayerConfig(msgspec.Struct, kw_only=True):
    """Table 23: a layer that is an image.

    - image_url: its URL, 1 to 2048 characters.
    """

    image_url: str | None = None


class VideoLayerConfig(msgspec.Struct, kw_only=True):
    """Table 24: a layer that is a video.

    - video_url: its URL, 1 to 2048 characters.
    - video_cover_url: its thumbnail's URL, 1 to 2048 characters.
    - loop_count: times to play, -1 to 100: 0 is once, -1 (default) without end.
    """

    video_url: str | None = None
    video_cover_url: str | None = None
    loop_count: Number = None


class TextLayerConfig(msgspec.Struct, kw_only=True):
    """Table 25: a layer that is a text.

    - text_context: the text in Base64, 0 to 1024 characters.
    - font_name: HarmonyOS_Sans_SC_Black by default.
    - font_size: pixels, 0 to 120 (really 4 to 120), 16 by default.
    - font_color: RGB such as #FFFFFF (default), 0 to 16 characters.
    """

    text_context: str | None = None
    font_name: str | None = None
    font_size: Number = None
    font_color: str | None = None


class LayerConfig(msgspec.Struct, kw_only=True):
    """Table 20: one layer of a scene.

    - layer_type: HUMAN, IMAGE, VIDEO or TEXT.
    - asset_id: the asset laid over the video, 0 to 64 characters.
    - group_id: layers of several scenes with the same group share their place, 0 to 64 characters.
    - position, size: tables 21 and 22.
    - image_config, video_config, text_config: tables 23 to 25, by layer_type.
    """

    layer_type: str | None = None
    asset_id: str | None = None
    group_id: str | None = None
    position: LayerPositionConfig | None = None
    size: LayerSizeConfig | None = None
    image_config: ImageLayerConfig | None = None
    video_config: VideoLayerConfig | None = None
    text_config: TextLayerConfig | None = None


class ShootScript(msgspec.Struct, kw_only=True):
    """Table 12: what happens in one scene.

    - script_type: TEXT (default: speech is made from the text) or AUDIO.
    - text_config: table 13.
    - audio_drive_action_config: table 14.
    - animation_config: table 15.
    - background_config: table 16; one object where an array is documented is taken as an array of one.
    - emotion_config: table 19.
    - layer_config: table 20.
    """

    script_type: str | None = None
    text_config: TextConfig | None = None
    audio_drive_action_config: list[AudioDriveActionConfig] = []
    animation_config: list[AnimationConfig] = []
    background_config: list[BackgroundConfigInfo] = []
    emotion_config: list[EmotionConfig] = []
    layer_config: list[LayerConfig] = []
