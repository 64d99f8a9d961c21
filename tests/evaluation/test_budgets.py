import pytest

from zoo.evaluation.budgets import PlannedTraining

pytestmark = pytest.mark.host


def test_a_budget_buys_the_nearest_number_of_updates():
    plan = PlannedTraining.of(48, 1000, 64, 6 * 1000 * 64 * 9.6)
    assert (plan.steps, plan.tokens) == (10, 640)
    assert plan.name == "width_48_steps_10"
    assert PlannedTraining.of(48, 1000, 64, 1.0).steps == 1


def test_too_short_and_too_long_trainings():
    plan = PlannedTraining(8, 100, 10, 500)  # 5 tokens per parameter
    assert plan.within() and plan.within(5, 5, 10)
    assert not plan.within(fewest=5.1)
    assert not plan.within(most=4.9)
    assert not plan.within(fewest_steps=11)
