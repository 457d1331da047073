"""What of a model is trained: parameter groups, freezing, LoRA, dropout."""

from pathlib import Path
from typing import Any

import pytest

from bertspace.errors import ConfigError
from bertspace.models import tuning
from bertspace.schema import TrainConfig


@pytest.fixture
def model(tiny_bert: Path) -> Any:
    from transformers import BertForMaskedLM

    return BertForMaskedLM.from_pretrained(tiny_bert).eval()


@pytest.fixture
def classifier(tiny_bert: Path) -> Any:
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=3).eval()


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


MORE: dict[str, dict[str, Any]] = {
    "Albert": {"embedding_size": 32},
    "ConvBert": {"embedding_size": 32, "num_groups": 1, "head_ratio": 1},
    "MobileBert": {"embedding_size": 8, "intra_bottleneck_size": 32},
    "SqueezeBert": {"embedding_size": 32},
    "Longformer": {"attention_window": [8, 8, 8], "pad_token_id": 1},
    "Esm": {"pad_token_id": 1, "mask_token_id": 3},
    "ModernBert": {
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
    },
    "EuroBert": {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_key_value_heads": 1},
    "RemBert": {"input_embedding_size": 32, "output_embedding_size": 32},
}


def small(name: str) -> Any:
    import transformers

    sizes = {"vocab_size": 100, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"num_hidden_layers": 3, "max_position_embeddings": 64}
    if name == "DistilBert":
        sizes = {"vocab_size": 100, "dim": 32, "n_heads": 2, "hidden_dim": 64, "n_layers": 3}
    if name == "Electra":
        sizes["embedding_size"] = 16
    if name == "XLM":
        sizes = {"n_words": 100, "emb_dim": 32, "n_layers": 3, "n_heads": 2}
    sizes |= MORE.get(name, {})
    config = getattr(transformers, f"{name}Config")(**sizes)
    return transformers.AutoModelForMaskedLM.from_config(config)


# Weight decay


def test_matrices_decay_and_biases_and_layer_norms_do_not(model: Any) -> None:
    matrices, vectors = tuning.parameter_groups(model, 0.05)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.05, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in vectors["params"]}
    assert found == {name for name in names.values() if name.endswith("bias") or "LayerNorm" in name}
    assert len(matrices["params"]) + len(vectors["params"]) == len(names)


def test_what_is_frozen_is_in_no_group(model: Any) -> None:
    model.bert.embeddings.requires_grad_(False)
    groups = tuning.parameter_groups(model, 0.05)
    assert sum(len(group["params"]) for group in groups) == len(trained(model))


def test_a_step_without_gradients_shrinks_matrices_only(model: Any) -> None:
    import torch

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(tuning.parameter_groups(model, 0.5), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        wanted = before[name] * (1 - 0.1 * 0.5) if parameter.dim() > 1 else before[name]
        assert torch.allclose(parameter, wanted), name


# Freezing


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "Electra"])
def test_freezing_two_layers_leaves_the_third_and_the_head(name: str) -> None:
    model = small(name)
    tuning.freeze(model, 2)
    layers = tuning.encoder_layers(model)
    assert len(layers) == 3
    assert not [each for layer in layers[:2] for each in layer.parameters() if each.requires_grad]
    assert all(each.requires_grad for each in layers[2].parameters())
    assert not [each for each in trained(model) if "embeddings." in each and "generator" not in each]
    assert trained(model)


def test_more_layers_than_there_are_are_refused(model: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        tuning.prepare(model, TrainConfig(freeze_layers=3))
    assert str(caught.value) == "freeze_layers is 3. This model has 2 layers."


def test_all_layers_may_be_frozen(classifier: Any) -> None:
    tuning.freeze(classifier, 2)
    assert trained(classifier) == {
        *("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"),
    }


@pytest.mark.parametrize("count", [1, 2])
def test_layers_that_share_their_weights_are_not_frozen(count: int) -> None:
    model = small("Albert")
    with pytest.raises(ConfigError) as caught:
        tuning.prepare(model, TrainConfig(freeze_layers=count))
    assert caught.value.message == (
        f"freeze_layers is {count}, and the 3 layers of this albert cannot be frozen one by one: "
        "they share weights."
    )
    assert trained(model) == {name for name, _ in model.named_parameters()}


def test_all_the_parts_of_a_layer_are_frozen_where_each_has_a_list_of_its_own() -> None:
    from transformers import XLMConfig, XLMWithLMHeadModel

    model = XLMWithLMHeadModel(XLMConfig(n_words=100, emb_dim=32, n_layers=3, n_heads=2))
    tuning.freeze(model, 2)
    kept = [name for name in trained(model) if ".1." in name or ".0." in name]
    assert not kept and any(".ffns.2." in name for name in trained(model))


# LoRA


@pytest.mark.parametrize("name", ["XLMRoberta", "Camembert", "Roberta", "Bert", "Albert", "Longformer"])
def test_lora_leaves_the_vocabulary_alone_wherever_it_is_tied(name: str) -> None:
    model = small(name)
    tuning.add_lora(model, 4)
    assert not [
        key for key, each in model.named_parameters() if each.requires_grad and each.shape == (100, 32)
    ]
    assert not model.get_output_embeddings().weight.requires_grad


def test_lora_trains_low_rank_updates_vectors_and_the_head_only(classifier: Any) -> None:
    tuning.add_lora(classifier, 4)
    for name, parameter in classifier.named_parameters():
        in_encoder = name.startswith("bert.")
        wanted = not in_encoder or "lora_" in name or parameter.dim() == 1
        assert parameter.requires_grad == wanted, name
    ranks = {parameter.shape[0] for name, parameter in classifier.named_parameters() if "lora_A" in name}
    assert ranks == {4}
    assert {
        name.split(".lora_")[0].rpartition(".")[2] for name in trained(classifier) if "lora_" in name
    } == {
        *("query", "key", "value", "dense"),
    }


def test_lora_begins_where_the_model_was(model: Any) -> None:
    import torch

    ids = torch.arange(10, 30).view(2, 10)
    with torch.no_grad():
        before = model(ids).logits
        tuning.add_lora(model, 4)
        assert torch.allclose(model(ids).logits, before, atol=1e-6)


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "Electra"])
def test_the_merged_weights_give_the_logits_of_the_unmerged_model(name: str) -> None:
    import torch

    model = small(name).eval()
    plain = small(name).eval()
    tuning.add_lora(model, 4)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.normal_(std=0.1)
        plain.load_state_dict(tuning.plain_weights(model))
        ids = torch.arange(10, 30).view(2, 10)
        assert torch.allclose(plain(ids).logits, model(ids).logits, atol=1e-5)
    assert set(tuning.plain_weights(model)) == set(plain.state_dict())


def test_lora_and_frozen_layers_go_together(classifier: Any) -> None:
    tuning.prepare(classifier, TrainConfig(lora_rank=4, freeze_layers=1))
    found = trained(classifier)
    assert not [name for name in found if "embeddings" in name or ".layer.0." in name]
    assert [name for name in found if ".layer.1." in name and "lora_" in name]
    tuning.plain_weights(classifier)


def test_the_count_is_what_is_trained_and_all_there_is(model: Any) -> None:
    everything = sum(parameter.numel() for parameter in model.parameters())
    assert tuning.trained_count(model) == (everything, everything)
    model.bert.requires_grad_(False)
    head = sum(parameter.numel() for parameter in model.cls.parameters() if parameter.requires_grad)
    assert tuning.trained_count(model) == (head, everything)


def test_loras_matrices_are_trained_and_are_none_of_the_models_own(classifier: Any) -> None:
    everything = sum(parameter.numel() for parameter in classifier.parameters())
    tuning.prepare(classifier, TrainConfig(lora_rank=4))
    updated = sum(each.numel() for each in classifier.parameters() if each.requires_grad)
    assert tuning.trained_count(classifier) == (updated, everything)


# Dropout


def test_dropout_is_the_models_own_unless_it_is_set(classifier: Any) -> None:
    from torch import nn

    def shares() -> set[float]:
        return {module.p for module in classifier.modules() if isinstance(module, nn.Dropout)}

    tuning.prepare(classifier, TrainConfig())
    assert shares() == {0.1}
    tuning.prepare(classifier, TrainConfig(dropout=0.0))
    assert shares() == {0.0}


def shares_of(model: Any) -> dict[str, float]:
    """Every dropout of a model: of its modules, and of the numbers that its layers keep."""
    from torch import nn

    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            found[name] = module.p
        elif isinstance(module, nn.Identity) and "drop" in name:
            found[name] = 0.0
        numbers = {key: each for key, each in vars(module).items() if "drop" in key}
        found |= {f"{name}.{key}": each for key, each in numbers.items() if isinstance(each, float)}
    return found


ENCODERS = [
    *("Bert", "Roberta", "DistilBert", "Electra", "Albert", "XLMRoberta", "Camembert", "MPNet", "DebertaV2"),
    *(
        "Deberta",
        "ModernBert",
        "ConvBert",
        "MobileBert",
        "Longformer",
        "SqueezeBert",
        "NomicBert",
        "EuroBert",
    ),
    *("XLM", "Esm", "RemBert"),
]


@pytest.mark.slow
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForMaskedLM"])
@pytest.mark.parametrize("name", ENCODERS)
def test_dropout_reaches_every_part_of_an_architecture(name: str, head: str) -> None:
    import transformers

    auto, config = getattr(transformers, f"AutoModel{head}"), small(name).config
    model = auto.from_config(config)
    tuning.prepare(model, TrainConfig(dropout=0.37))
    assert shares_of(model) and set(shares_of(model).values()) == {0.37}
    for key, value in config.to_dict().items():
        if "drop" in key and "layerdrop" not in key and not isinstance(value, bool):
            setattr(config, key, 0.37)
    built = shares_of(auto.from_config(config))  # as transformers builds it with such a configuration
    assert {key for key, share in built.items() if share == 0.37} <= shares_of(model).keys()


def test_without_dropout_two_passes_of_training_agree(classifier: Any) -> None:
    import torch

    tuning.prepare(classifier, TrainConfig(dropout=0.0))
    classifier.train()
    ids = torch.arange(10, 30).view(2, 10)
    assert torch.equal(classifier(ids).logits, classifier(ids).logits)


def test_plain_attention_gives_the_same_logits(classifier: Any, tiny_bert: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    other = BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=3).eval()
    other.load_state_dict(classifier.state_dict())
    tuning.prepare(classifier, TrainConfig())
    ids, mask = torch.arange(10, 30).view(2, 10), torch.ones(2, 10, dtype=torch.long)
    mask[1, 6:] = 0
    with torch.no_grad():
        assert torch.allclose(classifier(ids, mask).logits, other(ids, mask).logits, atol=1e-6)


# LoRA's part alone


def with_lora(name: str, head: str, folder: Path) -> Any:
    """A model of this architecture, saved as its base, with LoRA whose every trained tensor was moved."""
    import torch
    import transformers

    auto = getattr(transformers, f"AutoModelFor{head}")
    torch.manual_seed(0)
    auto.from_config(small(name).config).save_pretrained(folder)
    model = auto.from_pretrained(folder).eval()
    tuning.add_lora(model, 4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bert", "Roberta", "DistilBert", "Electra", "MPNet", "DebertaV2"])
@pytest.mark.parametrize("head", ["SequenceClassification", "MaskedLM"])
def test_peft_reads_the_adapter_alone_and_merges_it_to_the_same_model(
    name: str, head: str, tmp_path: Path
) -> None:
    import torch
    import transformers
    from peft import PeftModel

    model = with_lora(name, head, tmp_path / "base")
    tuning.save_adapter(model, tmp_path / "adapter", "owner/base", "0123")
    base = getattr(transformers, f"AutoModelFor{head}").from_pretrained(tmp_path / "base")
    again = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload().eval()
    tokens = torch.arange(5, 41).reshape(3, 12)
    with torch.inference_mode():
        assert torch.allclose(model(tokens).logits, again(tokens).logits, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bert", "Roberta", "DistilBert", "Electra", "MPNet", "DebertaV2"])
@pytest.mark.parametrize("head", ["SequenceClassification", "MaskedLM"])
def test_pefts_own_auto_classes_load_the_adapter_by_its_name_alone(
    name: str, head: str, tmp_path: Path
) -> None:
    """Classifiers by AutoPeftModelForSequenceClassification; for masks there is AutoPeftModel alone."""
    import peft
    import torch

    model = with_lora(name, head, tmp_path / "base")
    tuning.save_adapter(model, tmp_path / "adapter", str(tmp_path / "base"), "")
    kind = peft.AutoPeftModelForSequenceClassification if head != "MaskedLM" else peft.AutoPeftModel
    again = kind.from_pretrained(str(tmp_path / "adapter")).eval()
    tokens = torch.arange(5, 41).reshape(3, 12)
    with torch.inference_mode():
        assert torch.allclose(model(tokens).logits, again(input_ids=tokens).logits, atol=1e-6)
