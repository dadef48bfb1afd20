"""Public architectures with random weights, each with one input: what `benchmarks/architectures.py` tabulates.

torchvision's and timm's networks have their published sizes; of transformers a small configuration of the published
architecture is built, because what is measured (which weights are found, and that full rank is the same function) hangs
on the modules and not on their widths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import timm
import torch
import torchvision
import transformers
from torch import nn

VOCABULARY = 120
TOKENS = 12


class Architecture(NamedTuple):
    """How a network is made, and one input of it (a batch of one), as its forward pass takes it."""

    library: str
    name: str
    build: Callable[[], tuple[nn.Module, Any]]


def _image(model: nn.Module, size: int) -> tuple[nn.Module, Any]:
    return model, torch.randn(1, 3, size, size)


def _torchvision(name: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> tuple[nn.Module, Any]:
        return _image(torchvision.models.get_model(name, weights=None, **options), size)

    return Architecture("torchvision", name, build)


def _segmentation(name: str) -> Architecture:
    return _torchvision(name, 64, weights_backbone=None)


def _video(name: str, frames: int, size: int) -> Architecture:
    def build() -> tuple[nn.Module, Any]:
        return torchvision.models.get_model(name, weights=None), torch.randn(1, 3, frames, size, size)

    return Architecture("torchvision", name, build)


def _timm(name: str, size: int = 64, **options: Any) -> Architecture:
    def build() -> tuple[nn.Module, Any]:
        return _image(timm.create_model(name, pretrained=False, **options), size)

    return Architecture("timm", name, build)


def _text(family: str, head: str, *, decoder: bool = False, **options: Any) -> Architecture:
    """Return a small network of a transformers family: ``<family>Config`` and ``<family><head>``."""

    def build() -> tuple[nn.Module, Any]:
        config = getattr(transformers, f"{family}Config")(
            **{"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **options}
        )
        inputs = {"input_ids": torch.randint(3, VOCABULARY, (1, TOKENS))}
        if decoder:
            inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (1, TOKENS))
        return getattr(transformers, family + head)(config), inputs

    return Architecture("transformers", family + head, build)


_ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_DECODER: dict[str, Any] = {**_ENCODER, "num_key_value_heads": 2, "max_position_embeddings": 64}
_MOE: dict[str, Any] = {"moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2}


def _clip() -> tuple[nn.Module, Any]:
    text = {**_ENCODER, "vocab_size": VOCABULARY, "max_position_embeddings": 32, "eos_token_id": 2}
    vision = {**_ENCODER, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (1, TOKENS)), "pixel_values": torch.randn(1, 3, 32, 32)}
    return transformers.CLIPModel(config), inputs


def _whisper() -> tuple[nn.Module, Any]:
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=16, d_model=64, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128,
        max_source_positions=32, max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    inputs = {"input_features": torch.randn(1, 16, 64), "decoder_input_ids": torch.randint(3, VOCABULARY, (1, 6))}
    return transformers.WhisperForConditionalGeneration(config), inputs


def _wav2vec2() -> tuple[nn.Module, Any]:
    config = transformers.Wav2Vec2Config(
        **_ENCODER, vocab_size=32, conv_dim=(32, 32, 32), conv_stride=(5, 2, 2), conv_kernel=(10, 3, 3),
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    return transformers.Wav2Vec2ForCTC(config), {"input_values": torch.randn(1, 1600)}


def _vision(family: str, head: str, **options: Any) -> Architecture:
    def build() -> tuple[nn.Module, Any]:
        config = getattr(transformers, f"{family}Config")(**options)
        return getattr(transformers, family + head)(config), {"pixel_values": torch.randn(1, 3, 32, 32)}

    return Architecture("transformers", family + head, build)


class _Recurrent(nn.Module):
    """A text classifier on a recurrent layer of torch's, two layers, both directions."""

    def __init__(self, recurrent: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 32)
        self.recurrent = recurrent(32, 64, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return ``(N, 8)`` of tokens ``(N, T)``."""
        return self.head(self.recurrent(self.embedding(tokens))[0].mean(1))


def _recurrent(recurrent: type[nn.RNNBase]) -> Architecture:
    def build() -> tuple[nn.Module, Any]:
        return _Recurrent(recurrent), torch.randint(VOCABULARY, (1, TOKENS))

    return Architecture("torch", f"{recurrent.__name__} classifier", build)


def _transformer() -> tuple[nn.Module, Any]:
    model = nn.Transformer(64, 4, 2, 2, 128, batch_first=True)
    return model, (torch.randn(1, 10, 64), torch.randn(1, 6, 64))


ARCHITECTURES: tuple[Architecture, ...] = (
    *(_torchvision(name) for name in ("alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d")),
    *(_torchvision(name) for name in ("densenet121", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_large")),
    *(_torchvision(name) for name in ("mnasnet1_0", "shufflenet_v2_x1_0", "efficientnet_b0", "efficientnet_v2_s")),
    *(_torchvision(name) for name in ("regnet_y_400mf", "convnext_tiny", "swin_t", "swin_v2_t")),
    _torchvision("googlenet", 64, init_weights=False),
    _torchvision("inception_v3", 96, init_weights=False),
    _torchvision("vit_b_16", 32, image_size=32),
    _torchvision("maxvit_t", 224),
    *(_segmentation(name) for name in ("deeplabv3_resnet50", "fcn_resnet50", "lraspp_mobilenet_v3_large")),
    *(_video(name, 4, 32) for name in ("r3d_18", "mc3_18", "r2plus1d_18")),
    _video("s3d", 16, 224),
    _video("swin3d_t", 4, 64),
    *(
        _timm(name)
        for name in ("tf_efficientnet_b0", "resnetv2_50", "convnextv2_atto", "dm_nfnet_f0", "hrnet_w18_small")
    ),
    *(_timm(name) for name in ("repvgg_a0", "dla34", "dpn68", "ghostnet_100", "pvt_v2_b0", "poolformer_s12")),
    *(_timm(name, img_size=64) for name in ("beit_base_patch16_224", "mixer_s32_224", "cait_xxs24_224")),
    *(_timm(name, img_size=64) for name in ("xcit_nano_12_p16_224", "eva02_tiny_patch14_224", "coatnet_nano_rw_224")),
    _timm("mobilevit_s"),
    _timm("levit_128s", 224),
    _text("Bert", "ForSequenceClassification", **_ENCODER),
    _text("Roberta", "ForMaskedLM", **_ENCODER),
    _text("Albert", "ForMaskedLM", **_ENCODER, embedding_size=32),
    _text("DistilBert", "ForSequenceClassification", dim=64, n_layers=2, n_heads=4, hidden_dim=128),
    _text("Electra", "ForSequenceClassification", **_ENCODER, embedding_size=32),
    _text("DebertaV2", "ForMaskedLM", **_ENCODER),
    _text("GPT2", "LMHeadModel", n_embd=64, n_layer=2, n_head=4, n_positions=32),
    _text(
        "GPTNeo", "ForCausalLM", hidden_size=64, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    _text(
        "OPT",
        "ForCausalLM",
        hidden_size=64,
        ffn_dim=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        word_embed_proj_dim=64,
    ),
    _text("Bloom", "ForCausalLM", hidden_size=64, n_layer=2, n_head=4),
    _text("Falcon", "ForCausalLM", hidden_size=64, num_hidden_layers=2, num_attention_heads=4),
    *(_text(family, "ForCausalLM", **_DECODER) for family in ("Llama", "Mistral", "Qwen2", "Gemma", "Phi")),
    _text("Qwen3", "ForCausalLM", **_DECODER, head_dim=16),
    _text("Mixtral", "ForCausalLM", **_DECODER, num_local_experts=4),
    _text("Qwen2Moe", "ForCausalLM", **_DECODER, **_MOE, shared_expert_intermediate_size=64),
    _text("Mamba", "ForCausalLM", hidden_size=64, num_hidden_layers=2, state_size=8),
    _text(
        "T5",
        "ForConditionalGeneration",
        decoder=True,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    ),
    _text(
        "Bart",
        "ForConditionalGeneration",
        decoder=True,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
    ),
    Architecture("transformers", "WhisperForConditionalGeneration", _whisper),
    Architecture("transformers", "Wav2Vec2ForCTC", _wav2vec2),
    Architecture("transformers", "CLIPModel", _clip),
    _vision("ViT", "ForImageClassification", **_ENCODER, image_size=32, patch_size=8),
    _vision(
        "Dinov2",
        "ForImageClassification",
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
    ),
    _vision("Segformer", "ForSemanticSegmentation"),
    _recurrent(nn.LSTM),
    _recurrent(nn.GRU),
    Architecture("torch", "Transformer", _transformer),
)
"""In the order of the table."""
