"""What every engine offers, one concern per module; `zoo.engine.base` joins them."""
