#!/usr/bin/env python3
"""The peer of mpi_step: PyTorch's DistributedDataParallel with gloo on the same OPT shape, a process for each rank, in
float32 with fused AdamW. Needs torch and transformers.

    python3 benchmarks/peer_ddp.py RANKS THREADS SEQUENCES TOKENS STEPS LAYERS WIDTH HEADS VOCABULARY

SEQUENCES are those of a step of all ranks. Prints a line of JSON.
"""

import json
import os
import resource
import socket
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing
import transformers


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work(rank, ranks, threads, sequences, tokens, steps, layers, width, heads, vocabulary, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(threads)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    torch.manual_seed(0)
    config = transformers.OPTConfig(vocab_size=vocabulary, hidden_size=width, word_embed_proj_dim=width,
                                    ffn_dim=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
                                    max_position_embeddings=2048, dropout=0.0, attn_implementation="sdpa")
    model = transformers.OPTForCausalLM(config)
    trained = torch.nn.parallel.DistributedDataParallel(model) if ranks > 1 else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(0, vocabulary, (sequences // ranks, tokens))
    seconds, processor = [], []
    for _ in range(steps):
        dist.barrier()
        began, before = time.perf_counter(), processor_seconds()
        loss = trained(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        processor.append(processor_seconds() - before)
    mine = torch.tensor([statistics.median(processor[1:])])
    dist.all_reduce(mine)
    if rank == 0:
        print(json.dumps({"ranks": ranks, "threads": threads, "tokens": sequences * tokens,
                          "seconds": statistics.median(seconds[1:]), "processor_seconds": mine.item(),
                          "gradient_bytes": 4 * sum(p.numel() for p in model.parameters()), "loss": loss.item()}))
    dist.destroy_process_group()


def main():
    ranks, *others = map(int, sys.argv[1:])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, args=(ranks, *others, port), nprocs=ranks)


if __name__ == "__main__":
    main()
