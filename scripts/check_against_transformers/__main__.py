"""See check_against_transformers.sh."""

import argparse
import fnmatch
import random
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import check_architectures
import check_models
import check_templates
import check_tokenizers
import models
import transformers
from program import Failure, Programs


def checks(only, templates):
    found = [(f"model {name}", check_models.check, name) for name in models.FORMS]
    found += [(f"architecture {name}", check_architectures.check, name) for name in check_architectures.ARCHITECTURES]
    found += [(f"tokenizer {name}", check_tokenizers.check, name) for name in check_tokenizers.FORMS]
    found += [
        (f"template {name}", check_templates.check, path) for name, path in check_templates.templates(templates).items()
    ]
    return [check for check in found if fnmatch.fnmatch(check[0], only)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--only", default="*", help="names of the table's rows, as a glob")
    parser.add_argument("--templates", type=Path, help="folder with more chat templates (*.jinja)")
    parser.add_argument("--keep", type=Path, help="folder for what was made, which is otherwise removed")
    parser.add_argument("--table", type=Path, help="file for a table of the architectures")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    print(f"seed {args.seed}", flush=True)
    chosen = checks(args.only, args.templates)
    if not chosen:
        sys.exit(f"--only {args.only}: matches nothing")
    scratch = args.keep or Path(tempfile.mkdtemp())
    failed, table = 0, {}
    try:
        for title, check, name in chosen:
            folder = scratch / title.replace(" ", "-")
            folder.mkdir(parents=True)
            results, pairs, fault = [], [], ""
            try:
                # A generator of its own: a row is the same with --only.
                for what, value in check(name, Programs(args.programs), folder, random.Random(f"{args.seed} {title}")):
                    pairs.append((what, value))
                    results.append(f"{what} {value:.2g}" if isinstance(value, float) else f"{what} {value} equal")
            except Failure as failure:
                fault = str(failure)
            except Exception:
                fault = traceback.format_exc(limit=-3)
            failed += bool(fault)
            if check is check_architectures.check and not fault:
                table[name] = dict(pairs)
            print(f"{'FAILED' if fault else 'ok':6} {title:26} {', '.join(results)}", flush=True)
            if fault:
                print(f"       {fault}", flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(scratch)
    if args.table and not failed:
        check_architectures.write_table(args.table, table, args.seed)
    print(f"{len(chosen) - failed} of {len(chosen)} agree, seed {args.seed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
