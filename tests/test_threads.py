"""Threads are as many afterwards as before, also after an error."""

import pytest
import torch

from autoencoder.threads import one_thread


def test_the_number_of_threads_comes_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)

        @one_thread()
        def fail() -> None:
            assert torch.get_num_threads() == 1
            raise KeyError

        for _ in range(2):
            with pytest.raises(KeyError):
                fail()
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
