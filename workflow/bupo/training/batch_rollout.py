"""Agent-loop manager of the in-process rollout: a whole batch of prompts in one call.

verl calls `generate_sequences` and reads the results from its TransferQueue. Its own manager runs a
coroutine for each sample in other processes; with a tiny model on the CPU those messages cost more than the
sampling.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import NonTensorData, NonTensorStack, TensorDict
from transformers import PreTrainedTokenizerBase

from bupo.sampling import Completion

Score = Callable[..., dict[str, Any]]


class BatchRollout:
    """Samples, grades and stores the responses to a batch of prompts.

    Args:
        config: the run's whole configuration.
        worker_group: verl's group of `bupo.training.worker.InternalPolicyWorker`.
        tokenizer: of the model.
        compute_score: verl's reward function interface.
    """

    def __init__(
        self, config: DictConfig, worker_group: Any, tokenizer: PreTrainedTokenizerBase, compute_score: Score
    ) -> None:
        self.rollout = config.actor_rollout_ref.rollout
        self.template: dict[str, Any] = dict(config.data.apply_chat_template_kwargs or {})
        self.seed = int(config.bupo.seed)
        self.worker_group = worker_group
        self.tokenizer = tokenizer
        self.compute_score = compute_score
        self.metrics: dict[str, float] = {}
        """Of the last batch, for the trainer."""

    def generate_sequences(self, batch: TensorDict) -> None:
        """Put n responses to each prompt of ``batch`` into the TransferQueue, and mark the prompts finished.

        Raises:
            ValueError: a prompt is longer than ``data.max_prompt_length``.
        """
        validate = bool(_plain(batch, "validate", [False])[0])
        step = int(_plain(batch, "global_steps")[0])
        started = time.perf_counter()
        prompts = [self._encode(messages) for messages in _plain(batch, "raw_prompt")]
        samples = self._sample(prompts, _identities(batch), step, validate)
        sampled = time.perf_counter()
        scores = self._grade(batch, samples)
        graded = time.perf_counter()
        self._store(batch, prompts, samples, scores, step, "val" if validate else "train")
        self.metrics = {
            "bupo/entropy_full": _token_mean(samples),
            "timing_s/rollout/sample": sampled - started,
            "timing_s/rollout/grade": graded - sampled,
            "timing_s/rollout/store": time.perf_counter() - graded,
        }

    def _encode(self, messages: Sequence[dict[str, str]]) -> list[int]:
        ids = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=True, return_dict=False, **self.template
        )
        if len(ids) > self.rollout.prompt_length:
            raise ValueError(
                f"a prompt has {len(ids)} tokens, more than max_prompt_length = {self.rollout.prompt_length}"
            )
        return list(ids)

    def _sample(
        self, prompts: list[list[int]], identities: list[str], step: int, validate: bool
    ) -> list[list[Completion]]:
        count = self.rollout.val_kwargs.n if validate else self.rollout.n
        temperature = self.rollout.val_kwargs.temperature if validate else self.rollout.temperature
        eos = self.tokenizer.eos_token_id
        settings = {
            "max_new_tokens": self.rollout.response_length,
            "temperature": temperature,
            "end_token_ids": frozenset([eos]),
            "pad_token_id": self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else eos,
            "batch_size": self.rollout.max_num_seqs,
        }
        purpose = "validate" if validate else "train"
        names = [
            [f"{self.seed}/{purpose}/{step}/{identity}/{number}" for number in range(count)]
            for identity in identities
        ]
        shares = self.worker_group.generate(prompts, names, settings)
        return [shares[row % len(shares)][row // len(shares)] for row in range(len(prompts))]

    def _grade(self, batch: TensorDict, samples: list[list[Completion]]) -> list[list[dict[str, Any]]]:
        texts = iter(
            self.tokenizer.batch_decode(
                [one.token_ids for group in samples for one in group], skip_special_tokens=True
            )
        )
        rows = zip(
            _plain(batch, "data_source"),
            _plain(batch, "reward_model"),
            _plain(batch, "extra_info"),
            samples,
            strict=True,
        )
        return [
            [
                self.compute_score(
                    data_source=source,
                    solution_str=next(texts),
                    ground_truth=reward["ground_truth"],
                    extra_info=extra,
                )
                for _ in group
            ]
            for source, reward, extra, group in rows
        ]

    def _store(
        self,
        batch: TensorDict,
        prompts: list[list[int]],
        samples: list[list[Completion]],
        scores: list[list[dict[str, Any]]],
        step: int,
        partition: str,
    ) -> None:
        uids = _plain(batch, "uid")
        columns: dict[str, list[Any]] = {name: [] for name in _TENSORS + _OBJECTS}
        keys, tags = [], []
        metadata = zip(uids, _plain(batch, "reward_model"), _plain(batch, "data_source"), strict=True)
        for (uid, reward_model, source), prompt, group, grades in zip(
            metadata, prompts, samples, scores, strict=True
        ):
            for number, (one, grade) in enumerate(zip(group, grades, strict=True)):
                keys.append(f"{uid}_{number}_0")
                tags.append(_tag(len(prompt), len(one.token_ids), step))
                grade = {**grade, "truncated": float(one.finish_reason == "length")}
                _append(columns, uid, prompt, one, grade, reward_model, source)
        fields: dict[str, Any] = {
            name: torch.nested.as_nested_tensor(columns[name], layout=torch.jagged) for name in _TENSORS
        }
        fields |= {name: NonTensorStack(*columns[name]) for name in _OBJECTS}
        tq.kv_batch_put(
            keys=keys, partition_id=partition, fields=TensorDict(fields, batch_size=len(keys)), tags=tags
        )
        tq.kv_batch_put(keys=uids, partition_id=partition, tags=[{"status": "finished"} for _ in uids])


_TENSORS = (
    "prompts",
    "responses",
    "response_mask",
    "loss_mask",
    "input_ids",
    "position_ids",
    "rollout_log_probs",
    "rm_scores",
)
_OBJECTS = ("uid", "num_turns", "multi_modal_inputs", "extra_fields", "reward_model", "data_source")


def _append(
    columns: dict[str, list[Any]],
    uid: str,
    prompt: list[int],
    one: Completion,
    grade: dict[str, Any],
    reward_model: Any,
    source: Any,
) -> None:
    ids, response = torch.tensor(prompt + one.token_ids), torch.tensor(one.token_ids)
    ones = torch.ones_like(response)
    reward = torch.zeros(len(response))
    reward[-1] = grade["score"]
    columns["prompts"].append(torch.tensor(prompt))
    columns["responses"].append(response)
    columns["response_mask"].append(ones)
    columns["loss_mask"].append(ones)
    columns["input_ids"].append(ids)
    columns["position_ids"].append(torch.arange(len(ids)))
    columns["rollout_log_probs"].append(torch.tensor(one.log_probs, dtype=torch.float32))
    columns["rm_scores"].append(reward)
    columns["uid"].append(uid)
    columns["num_turns"].append(2)
    columns["multi_modal_inputs"].append({})
    columns["extra_fields"].append({"reward_extra_info": grade})
    columns["reward_model"].append(reward_model)
    columns["data_source"].append(source)


def _token_mean(samples: list[list[Completion]]) -> float:
    """Entropy of the policy that sampled, nats, averaged over all generated tokens."""
    rows = [one for group in samples for one in group]
    entropies = [one.entropy for one in rows if one.entropy is not None]
    return sum(entropies) / sum(len(one.token_ids) for one in rows)


def _tag(prompt_length: int, response_length: int, step: int) -> dict[str, Any]:
    # the weights that sampled are those after step - 1: verl counts versions so
    return {
        "status": "success",
        "prompt_len": prompt_length,
        "response_len": response_length,
        "seq_len": prompt_length + response_length,
        "global_steps": step,
        "min_global_steps": step - 1,
        "max_global_steps": step - 1,
    }


def _identities(batch: TensorDict) -> list[str]:
    """A stable name for each prompt: its data set and its own id there, whatever the row order."""
    return [
        f"{source}/{extra.get('id', index)}"
        for source, extra, index in zip(
            _plain(batch, "data_source"), _plain(batch, "extra_info"), _plain(batch, "index"), strict=True
        )
    ]


def _plain(batch: TensorDict, key: str, default: list[Any] | None = None) -> list[Any]:
    """A column of a batch as a list, whichever way tensordict holds it."""
    value = batch.get(key, None)
    if value is None:
        if default is None:
            raise KeyError(f"a batch of prompts without {key!r}")
        return default * len(batch)
    if isinstance(value, NonTensorData):
        return [value.data] * len(batch)
    return value.tolist()
