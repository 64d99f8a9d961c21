"""Fine-tuning: LoRA and layer-wise learning rates."""
