# What a cluster does to jobs, one rule a fate. test_jobs.py looks at what became of them.


rule all:
    input:
        expand(
            "{job}.done",
            job=["on_cpu", "on_gpu", "greedy", "failing", "cancelled", "long"],
        ),


WHERE = "echo $SLURM_JOB_PARTITION ${{CUDA_VISIBLE_DEVICES-none}} > {output}"


rule on_cpu:
    output:
        "on_cpu.done",
    shell:
        WHERE


rule on_gpu:
    output:
        "on_gpu.done",
    resources:
        gpu=1,
    shell:
        WHERE


# more memory than the first attempt has
rule greedy:
    output:
        "greedy.done",
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
    shell:
        "python -c 'import time; held = b\"x\" * (1200 << 20); time.sleep(8)'"
        " && echo {resources.mem_mb} > {output}"


rule failing:
    output:
        "failing.done",
    shell:
        "echo half > {output}; echo again >> failing.attempts; exit 1"


# somebody cancels the first attempt
rule cancelled:
    output:
        "cancelled.done",
    shell:
        "echo half > {output}; echo again >> cancelled.attempts;"
        " if [ $(wc -l < cancelled.attempts) = 1 ]; then scancel $SLURM_JOB_ID; sleep 60; fi; echo whole > {output}"


# asked to stop after a minute (of which a busy machine takes half for the start), and longer than that; the next attempt
# goes on in the same submission, which has two more minutes
rule long:
    output:
        "long.done",
    retries: 8
    resources:
        runtime=3,
        slurm_extra="--signal=URG@120",
    shell:
        "PYTHONPATH=workflow python tests/slurm/long.py long.state {output}"
