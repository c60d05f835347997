/** The tree as a whole: texts, the README and the lock file. */
import type { Rule } from "./rule.ts";

const README_WORDS_MAX = 450;
const README_CODE_LINE_MAX = 15;

/** The rules name what they forbid. */
const isRule = (path: string): boolean => path.startsWith("repo/rules/");

function matches(text: string, pattern: RegExp): string[] {
  return text
    .split("\n")
    .flatMap((line, index) => line.match(pattern)?.map((hit) => `line ${index + 1}: ${hit}`) ?? []);
}

const unfinished: Rule = {
  name: "nothing is left to do later",
  applies: (path) => !isRule(path) && !/^(?:package-lock\.json|\.oxlintrc\.json)$/v.test(path),
  check: ({ text }) => matches(text, /\b(?:TODO|FIXME|XXX|HACK)\b/v),
  bad: [{ path: "sim/a.ts", text: "// TODO: later" }],
};

/** Absolute paths of one machine, and papers that a reader of this repository does not have. */
const ELSEWHERE =
  /(?<![\w.])\/(?:home|root|Users|work|workspace)\/|\bfarm-|\bDESIGN(?:\.md|,? §)|\bshared\/|\bsession of\b/v;

const selfContained: Rule = {
  name: "the tree speaks of itself alone",
  applies: (path) => !isRule(path),
  check: ({ text }) => matches(text, ELSEWHERE),
  bad: [
    { path: "docs/a.md", text: "See /home/someone/notes." },
    { path: "docs/a.md", text: "See DESIGN §3." },
    { path: "sim/a.ts", text: "// from shared/notes.md" },
  ],
  good: [{ path: "docs/a.md", text: "Each worker shares work/load; framework/ is a folder." }],
};

const readme: Rule = {
  name: `the README is short (${README_WORDS_MAX} words) and starts with code`,
  applies: (path) => path === "README.md",
  check: ({ text }) => {
    const words = text.split(/\s+/v).filter((word) => /\w/v.test(word)).length;
    const code = text.split("\n").findIndex((line) => line.startsWith("```")) + 1;
    return [
      ...(words > README_WORDS_MAX ? [`${words} words`] : []),
      ...(code === 0 || code > README_CODE_LINE_MAX ? [`first code block at line ${code}`] : []),
    ];
  },
  bad: [
    { path: "README.md", text: `\`\`\`ts\n\`\`\`\n${"word ".repeat(README_WORDS_MAX)}` },
    { path: "README.md", text: `${"\n".repeat(README_CODE_LINE_MAX)}\`\`\`ts\n` },
    { path: "README.md", text: "# No code" },
  ],
};

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock: Rule = {
  name: "the lock file names no host and every platform's builds",
  applies: (path) => path === "package-lock.json",
  check: ({ text }) => {
    const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, Locked>> };
    return Object.entries(packages).flatMap(([where, one]) => [
      ...(one.resolved?.includes("://") ? [`${where} names a host`] : []),
      ...Object.keys(one.optionalDependencies ?? {}).flatMap((name) =>
        Object.entries(packages).some(([at, it]) => at.endsWith(`/${name}`) && it.version)
          ? []
          : [`${where} misses ${name}: lock again without node_modules`],
      ),
    ]);
  },
  bad: [
    {
      path: "package-lock.json",
      text: '{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://a.example/a.tgz"}}}',
    },
    {
      path: "package-lock.json",
      text: '{"packages":{"node_modules/a":{"optionalDependencies":{"@a/win32-x64":"1.0.0"}}}}',
    },
  ],
};

export const TREE: readonly Rule[] = [unfinished, selfContained, readme, lock];
