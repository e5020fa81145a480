<?php
// PHP's cURL. client_test.go documents input and output.

$curl = curl_init(); // keeps its connection from one request to the next

while (($line = fgets(STDIN)) !== false) {
    [$method, $url, $count, $file, $length] = explode("\t", rtrim($line, "\n"));
    for ($i = 0; $i < (int) $count; $i++) {
        $headers = [];
        if ((int) $length > 0) {
            $headers[] = 'X-Big: ' . str_repeat('a', (int) $length);
        }
        $body = '';
        curl_reset($curl);
        if ($file !== '-') {
            $headers[] = 'Content-Type: application/json';
            curl_setopt($curl, CURLOPT_POSTFIELDS, file_get_contents($file));
        }
        curl_setopt_array($curl, [
            CURLOPT_URL => $url,
            CURLOPT_FOLLOWLOCATION => true,
            CURLOPT_NOBODY => $method === 'HEAD',
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_WRITEFUNCTION => function ($curl, $piece) use (&$body, $method) {
                if ($method === 'STREAM' && $body === '') {
                    echo 'first ', strtok($piece, "\n"), "\n";
                }
                $body .= $piece;
                return strlen($piece);
            },
        ]);
        if ($method === 'POST') {
            curl_setopt($curl, CURLOPT_POST, true);
        }
        if (!curl_exec($curl)) {
            fwrite(STDERR, curl_error($curl) . "\n");
            exit(1);
        }
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        $effective = curl_getinfo($curl, CURLINFO_EFFECTIVE_URL);
        echo "$status ", strlen($body), ' ', hash('sha256', $body), " $effective\n";
    }
}
