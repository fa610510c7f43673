"""Empty hooks take no part in a step, and those that are not empty still do."""

from lightning.pytorch import Callback, Trainer

from autoencoder import AutoencoderModule
from autoencoder.callbacks.checkpoints import BestAndLast
from autoencoder.callbacks.signals import GradientNorm
from autoencoder.callbacks.step_hooks import STEP_HOOKS
from autoencoder.callbacks.views import View


def kept(cls: type) -> list[str]:
    return [hook for hook in STEP_HOOKS if callable(getattr(cls, hook))]


def test_what_is_empty_goes_and_what_is_not_stays():
    assert kept(View) == []
    assert kept(GradientNorm) == ["on_before_optimizer_step"]
    assert kept(Callback) == list(STEP_HOOKS)


def test_a_subclass_may_have_a_hook_again(digits):
    steps = []

    class Counter(View):
        def on_train_batch_end(self, *_: object) -> None:
            steps.append(1)

    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=3,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=[Counter()],
    )
    trainer.fit(AutoencoderModule(), digits)
    assert len(steps) == 3


def test_checkpoints_are_looked_after_between_epochs_alone():
    assert kept(BestAndLast) == []
