# zoo on a CPU, with one backend:
#   docker build --build-arg BACKEND=jax -t zoo .
#   docker run --rm zoo generate gpt.shakespeare_char "ROMEO:"
#   docker run --rm -v "$PWD/runs:/work/runs" --user "$(id -u)" zoo train gpt_text
FROM python:3.12-slim AS wheel

WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /dist

FROM python:3.12-slim

# tensorflow, jax or torch.
ARG BACKEND=jax
COPY constraints.txt /tmp/
COPY --from=wheel /dist /tmp/dist
# PyPI's torch for Linux pulls in gigabytes of CUDA; PyTorch's own index has a CPU build.
RUN case "$BACKEND" in \
        tensorflow|jax) ;; \
        torch) pip install --no-cache-dir \
            "torch==$(sed -n 's/^torch==//p' /tmp/constraints.txt)" \
            --index-url https://download.pytorch.org/whl/cpu ;; \
        *) echo "BACKEND is tensorflow, jax or torch, not $BACKEND"; exit 1 ;; \
    esac \
    && pip install --no-cache-dir -c /tmp/constraints.txt \
        "$(echo /tmp/dist/*.whl)[$BACKEND]" \
    && rm -r /tmp/dist /tmp/constraints.txt

# Any user can write here, so `docker run --user` works.
RUN mkdir -m 1777 -p /work /home/zoo
ENV KERAS_BACKEND=$BACKEND HOME=/home/zoo
WORKDIR /work
ENTRYPOINT ["zoo"]
CMD ["--help"]
