"""A house whose daemon lacks nothing, for the tests of slotbellctl doctor.

Test modules ask for it by `pytest_plugins = ["fixtures_doctor"]`.
"""

import pytest
from doctor_help import Patient, socket_folder

pytest_plugins = ["fixtures_daemon"]


@pytest.fixture
def patient(house, tmp_path):
    with socket_folder() as folder:
        yield Patient(house, tmp_path, folder)
