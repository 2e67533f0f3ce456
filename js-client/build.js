// Bundles src/ into a directory: `node build.js dist`. With --check it builds into a temporary directory and compares the
// result with dist/, so that the committed bundles, which the gateway embeds, match the sources.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const { version, license } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));

async function buildInto(directory) {
  mkdirSync(directory, { recursive: true });
  const common = {
    absWorkingDir: here,
    bundle: true,
    minify: true,
    // A shop's page may not be UTF-8, and a classic script is read in the page's encoding.
    charset: 'ascii',
    // The oldest versions with constructable stylesheets.
    target: ['chrome90', 'firefox101', 'safari16.4'],
    legalComments: 'none',
    banner: { js: `/*! chasqui ${version} | ${license} */` },
  };
  await build({ ...common, entryPoints: ['src/index.ts'], format: 'esm', outfile: join(directory, 'chasqui.js') });
  await build({
    ...common,
    entryPoints: ['src/iife.ts'],
    format: 'iife',
    globalName: 'chasqui',
    outfile: join(directory, 'chasqui.iife.js'),
  });
  const types = join(directory, 'chasqui.d.ts');
  execFileSync(
    process.execPath,
    [
      join(here, 'node_modules/dts-bundle-generator/dist/bin/dts-bundle-generator.js'),
      '--silent', '--no-banner', '--export-referenced-types=false', '--inline-declare-global=true',
      '--project', join(here, 'tsconfig.json'), '--out-file', types, join(here, 'src/index.ts'),
    ],
    { cwd: here, stdio: 'inherit' },
  );
}

if (process.argv[2] === '--check') {
  const fresh = mkdtempSync(join(tmpdir(), 'chasqui-dist-'));
  try {
    await buildInto(fresh);
    const read = (directory, file) => {
      try {
        return readFileSync(join(directory, file), 'utf8');
      } catch {
        return undefined;
      }
    };
    const dist = join(here, 'dist');
    const files = new Set([...readdirSync(fresh), ...readdirSync(dist)]);
    const stale = [...files].filter((file) => read(fresh, file) !== read(dist, file));
    if (stale.length > 0) {
      console.error(`dist is not up to date: ${stale.join(', ')}. run \`npm run build\` and commit dist`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(fresh, { recursive: true });
  }
} else {
  await buildInto(join(here, process.argv[2] ?? 'dist'));
}
