"""A network with a backbone of another class is built again from its folder alone, and nothing is fetched for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from rankfront import RankfrontError
from rankfront.objectives.export.architecture import CONFIG, KEY, read_about
from rankfront.objectives.export.pretrained import built, description, keep_architecture

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra zoo)")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the network was asked")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)


STAGES = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}


def detr(**backbone: Any) -> nn.Module:
    sides = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.DetrConfig(**backbone, **sides, **heads, d_model=16, num_queries=4)
    return transformers.DetrForObjectDetection(config)


def detr_of_resnet() -> nn.Module:
    config = transformers.ResNetConfig(**STAGES, layer_type="basic", out_features=["stage4"])
    return detr(backbone_config=config, use_timm_backbone=False, backbone=None)


def detr_of_timm() -> nn.Module:
    pytest.importorskip("timm", reason="timm is not installed (the extra zoo)")
    config = transformers.TimmBackboneConfig(backbone="resnet10t", out_indices=[4], features_only=True)
    return detr(backbone_config=config)


def mask2former() -> nn.Module:
    stages = [f"stage{number}" for number in range(1, 5)]
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 4, "image_size": 32}
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**sizes, out_features=stages),
        **dict.fromkeys(("feature_size", "mask_feature_size", "hidden_dim"), 32),
        **dict.fromkeys(("encoder_feedforward_dim", "dim_feedforward"), 16),
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=4,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def dpt(**changes: Any) -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    images = {"image_size": 32, "patch_size": 16, "neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
    config = transformers.DPTConfig(**sizes, **images, backbone_out_indices=[0, 1, 2, 3], **changes)
    return transformers.DPTForDepthEstimation(config)


def dpt_of_bit() -> nn.Module:
    features = ["stage1", "stage2", "stage3"]
    config = transformers.BitConfig(**STAGES, num_groups=2, out_features=features)
    shape = [1, 8, 2, 2]
    return dpt(
        is_hybrid=True,
        backbone_config=config,
        backbone_featmap_shape=shape,
        neck_ignore_stages=[0, 1],
        readout_type="project",
    )


MODELS: list[Callable[[], nn.Module]] = [detr_of_resnet, detr_of_timm, mask2former, dpt, dpt_of_bit]


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_a_folder_alone_gives_a_network_with_a_backbone(tmp_path: Path, build: Callable[[], nn.Module]) -> None:
    model = build().eval()
    assert description(model)[1] == ""
    assert keep_architecture(tmp_path, model, ())[0]
    again = built(tmp_path, read_about(tmp_path))
    shapes = [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in (model, again)]
    assert shapes[0] == shapes[1]
    kinds = [[type(module) for module in network.modules()] for network in (model, again)]
    assert kinds[0] == kinds[1]


HUB: dict[str, dict[str, Any]] = {
    "a name on a hub": {"backbone": "microsoft/resnet-50", "use_timm_backbone": False},
    "timm's weights": {"backbone": "resnet18", "use_timm_backbone": True},
    "timm's name on a hub": {"backbone": "hf_hub:timm/resnet18.a1_in1k", "use_timm_backbone": True},
}


@pytest.mark.parametrize("told", [True, None], ids=["pretrained", "pretrained if not told"])
@pytest.mark.parametrize("depth", ["beside", "inside", "instead"])
@pytest.mark.parametrize("entries", HUB.values(), ids=HUB)
def test_whatever_a_configuration_names_nothing_is_fetched(
    tmp_path: Path, entries: dict[str, Any], depth: str, told: bool | None
) -> None:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    keep_architecture(tmp_path, detr_of_resnet(), ())
    named = {**entries, **({} if told is None else {"use_pretrained_backbone": told})}
    config = json.loads((tmp_path / CONFIG).read_text())
    if depth == "inside":
        config["backbone_config"] |= named
    else:
        config |= named
    if depth == "instead":
        del config["backbone_config"]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    about = {KEY: {k: v for k, v in read_about(tmp_path)[KEY].items() if k != "config_sha256"}}
    try:
        assert isinstance(built(tmp_path, about), transformers.DetrForObjectDetection)
    except RankfrontError as error:
        assert "names a part that lies on a hub, and nothing is fetched" in str(error), error
        assert "microsoft" in str(named) or "hf_hub" in str(named)
    assert constants.HF_HUB_OFFLINE is before
