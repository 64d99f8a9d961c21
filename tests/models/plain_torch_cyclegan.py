"""The authors' CycleGAN: networks, image history, one step."""

import torch
from torch import nn
from torch.nn import functional


class ResnetBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(dim, dim, 3),
            nn.InstanceNorm2d(dim),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(dim, dim, 3),
            nn.InstanceNorm2d(dim),
        )

    def forward(self, x):
        return x + self.conv_block(x)


class Generator(nn.Module):
    def __init__(self, given, wanted, width, blocks):
        super().__init__()

        def normed(convolution, channels):
            return [convolution, nn.InstanceNorm2d(channels), nn.ReLU()]

        w = width
        up = {"stride": 2, "padding": 1, "output_padding": 1}
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(given, w, 7), w),
            *normed(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), 2 * w),
            *normed(nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1), 4 * w),
            *(ResnetBlock(4 * w) for _ in range(blocks)),
            *normed(nn.ConvTranspose2d(4 * w, 2 * w, 3, **up), 2 * w),
            *normed(nn.ConvTranspose2d(2 * w, w, 3, **up), w),
            nn.ReflectionPad2d(3),
            nn.Conv2d(w, wanted, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    def __init__(self, channels, width, num_layers):
        super().__init__()
        widths = [width * 2 ** min(index, 3) for index in range(num_layers + 1)]
        stack = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for index in range(1, num_layers + 1):
            stride = 1 if index == num_layers else 2
            stack += [
                nn.Conv2d(widths[index - 1], widths[index], 4, stride, padding=1),
                nn.InstanceNorm2d(widths[index]),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*stack, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, x):
        return self.model(x)


def networks(config):
    """G_A, G_B, D_A, D_B by the authors' names: D_A judges images of B."""
    a, b = config.channels
    width, blocks = config.width, config.residual_blocks
    found = {
        "G_A": Generator(a, b, width, blocks),
        "G_B": Generator(b, a, width, blocks),
        "D_A": Discriminator(b, width, config.discriminator_layers),
        "D_B": Discriminator(a, width, config.discriminator_layers),
    }
    with torch.no_grad():
        for network in found.values():
            for parameter in network.parameters():
                parameter.normal_(std=0.1)
    return found


def step(networks, optimizers, a, b, config, show_a=None, show_b=None):
    """One step, generators first; returns its losses.

    `optimizers` has those of "generators" and "discriminators". `show_a` and `show_b`
    give what the discriminators see of generated images, as a history does.
    """
    g, f = networks["G_A"], networks["G_B"]

    def squares(scores, target):
        return functional.mse_loss(scores, torch.full_like(scores, target))

    def descend(loss, name):
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()

    def train(*names, on):
        for name in names:
            networks[name].requires_grad_(on)

    train("D_A", "D_B", on=False)
    fake_b, fake_a = g(a), f(b)
    cycle = functional.l1_loss(f(fake_b), a) + functional.l1_loss(g(fake_a), b)
    identity = torch.zeros(())
    if config.identity_weight:
        identity = functional.l1_loss(g(b), b) + functional.l1_loss(f(a), a)
    adversarial = [
        squares(networks["D_A"](fake_b), 1.0),
        squares(networks["D_B"](fake_a), 1.0),
    ]
    weight = config.cycle_weight
    loss = sum(adversarial) + weight * (cycle + config.identity_weight * identity)
    descend(loss, "generators")

    train("D_A", "D_B", on=True)
    fake_a, fake_b = fake_a.detach(), fake_b.detach()
    pairs = {
        "D_A": (b, show_b(fake_b) if show_b else fake_b),
        "D_B": (a, show_a(fake_a) if show_a else fake_a),
    }
    judged = {
        name: (networks[name](real), networks[name](fake))
        for name, (real, fake) in pairs.items()
    }
    halves = [0.5 * (squares(r, 1.0) + squares(f, 0.0)) for r, f in judged.values()]
    descend(sum(halves), "discriminators")
    return {
        "generators/loss": loss,
        "generators/a_to_b": adversarial[0],
        "generators/b_to_a": adversarial[1],
        "generators/identity": identity,
        "discriminators/loss": sum(halves),
        "discriminators/real_a": judged["D_B"][0].mean(),
        "discriminators/fake_a": judged["D_B"][1].mean(),
        "discriminators/real_b": judged["D_A"][0].mean(),
        "discriminators/fake_b": judged["D_A"][1].mean(),
    }


def optimizers(networks, make):
    """`make(parameters)` for both generators and for both discriminators."""
    pairs = {"generators": ("G_A", "G_B"), "discriminators": ("D_A", "D_B")}
    return {
        name: make([p for n in names for p in networks[n].parameters()])
        for name, names in pairs.items()
    }


class Pool:
    """The authors' history, image by image."""

    def __init__(self, size):
        self.size, self.images = size, []

    def __call__(self, images):
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
            elif torch.rand(()) > 0.5:
                place = int(torch.randint(self.size, ()))
                image, self.images[place] = self.images[place], image
            shown.append(image)
        return torch.stack(shown)
