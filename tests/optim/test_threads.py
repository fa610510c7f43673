"""Too many threads for a busy machine are said once, and measuring them changes nothing."""

import pytest
import torch
from conftest import run_train
from lightning.pytorch import Trainer

from autoencoder import AutoencoderModule
from autoencoder.models.reconstructor import Reconstructor
from autoencoder.optim import threads
from autoencoder.optim.threads import advise_on_threads

TINY = ("experiment=quick", "callbacks=light", "+trainer.limit_train_batches=4", "trainer.max_epochs=1", "logger=[]")


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def machine(slow):
    """A machine on which two threads are `slow` times as slow as one."""
    return lambda network, images: 0.001 * (slow if torch.get_num_threads() == 2 else 1)


def advise():
    module = AutoencoderModule()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    advise_on_threads(trainer, Reconstructor(module.network, module.bottleneck), module.image_shape, batch_size=32)
    return module


@pytest.mark.parametrize(("slow", "says"), [(10.0, True), (1.2, False), (0.6, False)])
def test_threads_that_hinder_each_other_are_said_in_one_line(caplog, monkeypatch, two_threads, slow, says):
    monkeypatch.setattr(threads, "seconds_a_step", machine(slow))
    advise()
    said = [record.getMessage() for record in caplog.records if record.name == threads.__name__]
    assert len(said) == says
    assert not says or said[0] == (
        "2 threads take 10.0 ms a step, one takes 1.0 ms; the machine may be busy: "
        "start with OMP_NUM_THREADS=1 to train about 10 times as fast"
    )


def test_one_thread_needs_no_measuring(monkeypatch):
    monkeypatch.setattr(threads, "seconds_a_step", None)
    advise()


def test_a_run_asks_for_advice_before_it_trains(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "advise_on_threads", lambda trainer, *_: asked.append(trainer.global_step))
    run_train(tmp_path, *TINY)
    assert asked == [0]


def test_measuring_leaves_no_trace(two_threads):
    torch.manual_seed(0)
    weights = AutoencoderModule().state_dict()
    after_building = torch.get_rng_state()
    torch.manual_seed(0)
    module = advise()
    assert torch.equal(torch.get_rng_state(), after_building) and torch.get_num_threads() == 2
    assert all(torch.equal(weight, weights[name]) for name, weight in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
