"""Which of Slurm's refusals pass. The messages are those of Slurm 22.05."""

import pytest

from snakemake_executor_plugin_slurm_resume.refusals import Kind, Refusal

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.PASSES, FAILED + "Unable to contact slurm controller (connect failure)"),
        (Kind.PASSES, FAILED + "Socket timed out on send/recv operation"),
        (Kind.PASSES, FAILED + "Zero Bytes were transmitted or received"),
        (Kind.PASSES, FAILED + "Slurm backup controller in standby mode"),
        (Kind.PASSES, FAILED + "Unable to create job record, try again"),
        (Kind.PASSES, FAILED + "Resource temporarily unavailable"),
        (Kind.PASSES, FAILED + "Required partition not available (inactive or drain)"),
        (Kind.PASSES, FAILED + "I/O error writing script/environment to file"),
        (Kind.PASSES, FAILED + "Requested operation is presently disabled"),
        (Kind.PASSES, FAILED + "Protocol authentication error"),
        (Kind.PASSES, "sacctmgr: error: Problem talking to the database: Connection refused"),
        (Kind.LIMIT, f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}"),
        (Kind.LIMIT, f"sbatch: error: AssocGrpSubmitJobsLimit\n{POLICY}"),
        (Kind.LIMIT, f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}"),
        (Kind.LIMIT, POLICY),
        (Kind.FINAL, f"sbatch: error: QOSMaxCpuPerJobLimit\n{POLICY}"),
        (Kind.FINAL, f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}"),
        (
            Kind.FINAL,
            f"sbatch: error: invalid partition specified: x\n{FAILED}Invalid partition name specified",
        ),
        (Kind.FINAL, FAILED + "Invalid account or account/partition combination specified"),
        (Kind.FINAL, FAILED + "Invalid qos specification"),
        (Kind.FINAL, FAILED + "Invalid feature specification"),
        (Kind.FINAL, FAILED + "Requested node configuration is not available"),
        (Kind.FINAL, FAILED + "User's group not permitted to use this partition"),
        (Kind.FINAL, "sbatch: error: Invalid generic resource (gres) specification"),
        (Kind.FINAL, "sbatch: unrecognized option '--bad'\nTry \"sbatch --help\" for more information"),
        (Kind.FINAL, "The given account x appears to be invalid. Available accounts:\na, b"),
        (Kind.UNKNOWN, FAILED + "Unspecified error"),
        (Kind.UNKNOWN, ""),
    ],
)
def test_kinds(kind, words):
    assert Refusal.of(words, "sbatch -D /later --reservation=invalid").kind is kind


def test_a_refusal_is_told_in_one_line():
    refusal = Refusal.of(f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}\n")
    assert refusal.why == f"AssocMaxSubmitJobLimit: {POLICY.removeprefix(FAILED)}"
    assert Refusal.of("").why == "sbatch said nothing"
